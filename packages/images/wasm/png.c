// The door between JavaScript and libpng. Compiled by scripts/wasm-codecs.mjs.
// One instance decodes one file: an error leaves through `fail`, which throws in JavaScript, and the instance is let go.
#include <stdlib.h>
#include <string.h>
#include "png.h"

#define EXPORT(name) __attribute__((export_name(#name))) door_##name
__attribute__((import_module("env"), import_name("fail"), noreturn)) void fail(const char *message);

static png_structp png;
static png_infop info;
static const unsigned char *file;
static int file_length, position;

// What libpng says of a size before it gives up, and of a profile that it leaves out. Pixels are never lost by what it warns of.
static char said_of_size[80], said_of_profile[200];

static void on_error(png_structp from, png_const_charp message) {
  fail(strstr(message, "IHDR") != NULL && said_of_size[0] != 0 ? said_of_size : message);
}
static void on_warning(png_structp from, png_const_charp message) {
  if (strstr(message, "IHDR") != NULL) strncpy(said_of_size, message, sizeof said_of_size - 1);
  if (strncmp(message, "iCCP", 4) == 0) strncpy(said_of_profile, message, sizeof said_of_profile - 1);
}

// How many bytes may still be read; it counts in the last row alone, after which libpng inflates whatever is there.
static long long left = -1;
static const int SLACK = 1 << 13;

static void read_bytes(png_structp from, png_bytep to, size_t count) {
  if (count > (size_t)(file_length - position)) fail("it ends early");
  if (left >= 0 && (left -= count) < 0) fail("more pixels than its size has");
  memcpy(to, file + position, count);
  position += count;
}

void *EXPORT(reserve)(int bytes) { return malloc(bytes); }

// Reads what stands before the pixels; no chunk of it takes more than most_chunk bytes.
void EXPORT(open)(const unsigned char *bytes, int length, int most_chunk) {
  file = bytes;
  file_length = length;
  png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning);
  info = png_create_info_struct(png);
  // The caller bounds the size: these are PNG's own limits.
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_chunk_malloc_max(png, most_chunk);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
  png_set_read_fn(png, NULL, read_bytes);
  png_read_info(png, info);
}

int EXPORT(width)(void) { return png_get_image_width(png, info); }
int EXPORT(height)(void) { return png_get_image_height(png, info); }
int EXPORT(depth)(void) { return png_get_bit_depth(png, info); }
int EXPORT(channels)(void) { return png_get_channels(png, info); }

static png_uint_32 profile_length, exif_length;
// The colour profile, or null; profile_bytes: its length.
void *EXPORT(profile)(void) {
  png_charp name;
  png_bytep profile;
  int method;
  return png_get_iCCP(png, info, &name, &method, &profile, &profile_length) ? profile : NULL;
}
int EXPORT(profile_bytes)(void) { return profile_length; }
// Where there is no profile: what libpng says of one that it has left out, or an empty text.
const char *EXPORT(said)(void) { return said_of_profile; }
// What eXIf has, or null; exif_bytes: its length.
void *EXPORT(exif)(void) {
  png_bytep exif;
  return png_get_eXIf_1(png, info, &exif_length, &exif) ? exif : NULL;
}
int EXPORT(exif_bytes)(void) { return exif_length; }

int EXPORT(passes)(void) {
  return png_get_interlace_type(png, info) == PNG_INTERLACE_NONE ? 1 : PNG_INTERLACE_ADAM7_PASSES;
}
static long long rows_left;

// Begins to decode. as_numbers: what is stored, a number a byte, or two where it has 16 bits; else colours of a byte, a palette's
// looked up, with alpha where there is some.
void EXPORT(start)(int as_numbers) {
  if (as_numbers) png_set_packing(png);
  else {
    png_set_expand(png);
    png_set_strip_16(png);
  }
  if (png_get_interlace_type(png, info) != PNG_INTERLACE_NONE) png_set_interlace_handling(png);
  png_read_update_info(png, info);
  rows_left = (long long)png_get_image_height(png, info) * door_passes();
}
int EXPORT(row_bytes)(void) { return png_get_rowbytes(png, info); }

// The next rows; of an interlaced picture all of them are given at each pass.
void EXPORT(rows)(unsigned char *buffer, int count) {
  int stride = png_get_rowbytes(png, info);
  for (int y = 0; y < count; y++) {
    // Data that do not compress take an eighth more at most.
    if (--rows_left == 0) left = stride + stride / 8 + SLACK;
    png_read_row(png, buffer + y * stride, NULL);
  }
  if (rows_left == 0) left = -1;
}

// Reads what follows the pixels, up to the end's chunk.
void EXPORT(finish)(void) { png_read_end(png, info); }
