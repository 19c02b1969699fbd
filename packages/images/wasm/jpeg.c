// The door between JavaScript and libjpeg-turbo's decoder. Compiled by scripts/wasm-codecs.mjs.
// One instance decodes one file: an error leaves through `fail`, which throws in JavaScript, and the instance is let go.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "jpeglib.h"
#include "jerror.h"
#include "jversion.h"

#define EXPORT(name) __attribute__((export_name(#name))) door_##name
__attribute__((import_module("env"), import_name("fail"), noreturn)) void fail(const char *message);

#define JMESSAGE(code, string) string,
static const char *const messages[] = {
#undef JERROR_H
#include "jerror.h"
  NULL
};

static struct jpeg_error_mgr errors;
static struct jpeg_decompress_struct decoder;
static struct jpeg_progress_mgr progress;
static int most_scans;
static char text[JMSG_LENGTH_MAX];

static void format_message(j_common_ptr cinfo, char *buffer) {
  const char *message = messages[cinfo->err->msg_code];
  if (strstr(message, "%s") != NULL) {
    snprintf(buffer, JMSG_LENGTH_MAX, message, cinfo->err->msg_parm.s);
    return;
  }
  const int *i = cinfo->err->msg_parm.i;
  snprintf(buffer, JMSG_LENGTH_MAX, message, i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7]);
}

static void end(j_common_ptr cinfo) {
  format_message(cinfo, text);
  fail(text);
}

// libjpeg goes on after these with grey where the picture was.
static int loses_pixels(int code) {
  return code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
         code == JWRN_MUST_RESYNC || code == JWRN_ARITH_BAD_CODE;
}

static void emit_message(j_common_ptr cinfo, int level) {
  if (level < 0 && loses_pixels(cinfo->err->msg_code)) end(cinfo);
}

static void output_message(j_common_ptr cinfo) {}
static void reset(j_common_ptr cinfo) { cinfo->err->num_warnings = 0; }

static void count_scans(j_common_ptr cinfo) {
  if (((j_decompress_ptr)cinfo)->input_scan_number <= most_scans) return;
  snprintf(text, sizeof text, "it goes over its pixels more than %d times", most_scans);
  fail(text);
}

void *EXPORT(reserve)(int bytes) { return malloc(bytes); }

// Reads the header.
void EXPORT(open)(const unsigned char *bytes, int length, int scans) {
  errors.error_exit = end;
  errors.emit_message = emit_message;
  errors.output_message = output_message;
  errors.format_message = format_message;
  errors.reset_error_mgr = reset;
  decoder.err = &errors;
  most_scans = scans;
  jpeg_create_decompress(&decoder);
  progress.progress_monitor = count_scans;
  decoder.progress = &progress;
  jpeg_mem_src(&decoder, bytes, length);
  jpeg_save_markers(&decoder, JPEG_APP0 + 1, 0xFFFF);
  jpeg_save_markers(&decoder, JPEG_APP0 + 2, 0xFFFF);
  jpeg_read_header(&decoder, TRUE);
}

int EXPORT(width)(void) { return decoder.image_width; }
int EXPORT(height)(void) { return decoder.image_height; }
int EXPORT(components)(void) { return decoder.num_components; }
int EXPORT(many_scans)(void) { return jpeg_has_multiple_scans(&decoder); }

static unsigned profile_length;
// The colour profile, or null; profile_bytes: its length.
void *EXPORT(profile)(void) {
  JOCTET *data = NULL;
  return jpeg_read_icc_profile(&decoder, &data, &profile_length) ? data : NULL;
}
int EXPORT(profile_bytes)(void) { return profile_length; }

static const char EXIF[] = "Exif\0";
static jpeg_saved_marker_ptr exif_marker(void) {
  jpeg_saved_marker_ptr marker = decoder.marker_list;
  while (marker != NULL && (marker->marker != JPEG_APP0 + 1 || marker->data_length <= sizeof EXIF ||
                            memcmp(marker->data, EXIF, sizeof EXIF) != 0))
    marker = marker->next;
  return marker;
}
// What follows "Exif", or null; exif_bytes: its length.
void *EXPORT(exif)(void) {
  jpeg_saved_marker_ptr marker = exif_marker();
  return marker == NULL ? NULL : marker->data + sizeof EXIF;
}
int EXPORT(exif_bytes)(void) { return exif_marker()->data_length - sizeof EXIF; }

// Begins to decode: grey of one component, red, green and blue of three, inks of four.
void EXPORT(start)(void) { jpeg_start_decompress(&decoder); }

// The next rows into the buffer; how many there were.
int EXPORT(rows)(unsigned char *buffer, int most) {
  int stride = decoder.output_width * decoder.output_components, read = 0;
  while (read < most && decoder.output_scanline < decoder.output_height) {
    JSAMPROW row = buffer + read * stride;
    read += jpeg_read_scanlines(&decoder, &row, 1);
  }
  return read;
}

// Reads what follows the last row, up to the end's marker.
void EXPORT(finish)(void) { jpeg_finish_decompress(&decoder); }
