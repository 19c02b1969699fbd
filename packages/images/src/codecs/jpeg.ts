import exifr from 'exifr';
import jpeg from 'jpeg-js';
import type { RgbImage } from '../image.ts';
import { orient } from './orientation.ts';

/** jpeg-js gives up beyond what it is told; the size was checked before. */
const NO_LIMIT = 1e9;

async function orientationOf(bytes: Uint8Array): Promise<number | undefined> {
  // Broken EXIF is no reason to refuse a picture that is whole.
  return exifr.orientation(bytes).catch(() => undefined);
}

/** A JPEG as its camera was held; CMYK is converted without its profile. */
export async function jpegImage(bytes: Uint8Array): Promise<RgbImage> {
  const { width, height, data } = jpeg.decode(bytes, {
    useTArray: true,
    tolerantDecoding: false,
    formatAsRGBA: false,
    maxResolutionInMP: NO_LIMIT,
    maxMemoryUsageInMB: NO_LIMIT,
  });
  return orient({ width, height, data }, await orientationOf(bytes));
}
