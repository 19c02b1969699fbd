// The door between JavaScript and Little CMS: from a profile's colours to sRGB. Compiled by scripts/wasm-codecs.mjs.
#include <stdlib.h>
#include "lcms2.h"

#define EXPORT(name) __attribute__((export_name(#name))) door_##name
__attribute__((import_module("env"), import_name("fail"), noreturn)) void fail(const char *message);

static void on_error(cmsContext context, cmsUInt32Number code, const char *message) { fail(message); }

static cmsHPROFILE profile;
static cmsHTRANSFORM transform;

void *EXPORT(reserve)(int bytes) { return malloc(bytes); }

// How many numbers a colour of the profile has: 1 of grey, 3 of red, green and blue, 4 of inks, 0 of others.
int EXPORT(open)(const void *bytes, int length) {
  cmsSetLogErrorHandler(on_error);
  profile = cmsOpenProfileFromMem(bytes, length);
  if (profile == NULL) fail("it cannot be read");
  switch (cmsGetColorSpace(profile)) {
  case cmsSigGrayData: return 1;
  case cmsSigRgbData: return 3;
  case cmsSigCmykData: return 4;
  default: return 0;
  }
}

// Makes the way to sRGB; inks are 255 where there is none, as JPEG files have them. Perceptual, as Pillow's profileToProfile does by default.
void EXPORT(start)(int channels) {
  cmsUInt32Number from = channels == 1 ? TYPE_GRAY_8 : channels == 3 ? TYPE_RGB_8 : TYPE_CMYK_8_REV;
  transform = cmsCreateTransform(profile, from, cmsCreate_sRGBProfile(), TYPE_RGB_8, INTENT_PERCEPTUAL, 0);
  if (transform == NULL) fail("it leads to no colours");
}

void EXPORT(convert)(const void *from, void *to, int pixels) { cmsDoTransform(transform, from, to, pixels); }
