// The door between JavaScript and libwebp's decoder. Compiled by scripts/wasm-codecs.mjs.
#include <stdlib.h>
#include "webp/decode.h"

#define EXPORT(name) __attribute__((export_name(#name))) door_##name
__attribute__((import_module("env"), import_name("fail"), noreturn)) void fail(const char *message);

static WebPDecoderConfig config;
static const unsigned char *file;
static int file_length;

static void check(VP8StatusCode status) {
  switch (status) {
  case VP8_STATUS_OK: return;
  case VP8_STATUS_OUT_OF_MEMORY: fail("it takes more memory than there is");
  case VP8_STATUS_SUSPENDED:
  case VP8_STATUS_NOT_ENOUGH_DATA: fail("it ends early");
  case VP8_STATUS_UNSUPPORTED_FEATURE: fail("it has what libwebp does not read");
  default: fail("its data are not WebP's");
  }
}

void *EXPORT(reserve)(int bytes) { return malloc(bytes); }

// Reads the header.
void EXPORT(open)(const unsigned char *bytes, int length) {
  file = bytes;
  file_length = length;
  WebPInitDecoderConfig(&config);
  check(WebPGetFeatures(file, file_length, &config.input));
}
int EXPORT(width)(void) { return config.input.width; }
int EXPORT(height)(void) { return config.input.height; }
int EXPORT(has_alpha)(void) { return config.input.has_alpha; }

// Decodes into the buffer: red, green, blue, and alpha where there is some.
void EXPORT(decode)(unsigned char *buffer, int size) {
  int channels = config.input.has_alpha ? 4 : 3;
  config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = buffer;
  config.output.u.RGBA.stride = config.input.width * channels;
  config.output.u.RGBA.size = size;
  check(WebPDecode(file, file_length, &config));
}
