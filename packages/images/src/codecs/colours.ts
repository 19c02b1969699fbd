import type { RgbImage } from '../image.ts';
import { orientationOf } from './exif.ts';
import { orient } from './orientation.ts';
import type { Raster } from './raster.ts';

const OPAQUE = 255;
const RGB = 3;
const INKS = 4;

/** a * b / 255, rounded. @source Pillow ImagingUtils.h MULDIV255 */
function share(a: number, b: number): number {
  const product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/** Inks without a profile: white less each ink, less black. @source Pillow Convert.c cmyk2rgb */
function ofInks(data: Uint8Array): Uint8Array {
  const pixels = data.length / INKS;
  const out = new Uint8Array(RGB * pixels);
  for (let i = 0; i < pixels; i++) {
    const white = data[INKS * i + RGB]!;
    for (let c = 0; c < RGB; c++) out[RGB * i + c] = white - share(OPAQUE - data[INKS * i + c]!, white);
  }
  return out;
}

function ofGrey(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(RGB * data.length);
  for (let i = 0; i < data.length; i++) out.fill(data[i]!, RGB * i, RGB * i + RGB);
  return out;
}

const WITHOUT_PROFILE = { 1: ofGrey, 3: (data: Uint8Array) => data, 4: ofInks } as const;

/** The picture that a raster is: in sRGB, turned as EXIF says, with its alpha where something shows through. `asStored`: its profile is not heeded.
 * @throws when its profile is broken */
export async function imageOf(raster: Raster, { asStored = false } = {}): Promise<RgbImage> {
  const { width, height, channels, data, alpha, profile, exif } = raster;
  const heeded = asStored ? undefined : profile;
  const converted = heeded && (await (await import('./profile.ts')).throughProfile(raster, heeded));
  const colours = converted ?? WITHOUT_PROFILE[channels](data);
  const shows = alpha?.some((each) => each < OPAQUE) ? { alpha } : {};
  return orient({ width, height, data: colours, ...shows }, exif && orientationOf(exif));
}
