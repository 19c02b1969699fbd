import { flatten } from '../background.ts';
import { type Colour, IGNORE_LABEL, type LabelMap, type RgbImage } from '../image.ts';
import { imageOf } from './colours.ts';
import { DecoderError } from './decoder-error.ts';
import { orientationOf } from './exif.ts';
import { FORMATS, type Format, formatOf, otherThan } from './format.ts';
import { orientLabels } from './orientation.ts';
import type { CheckSize, Raster } from './raster.ts';

export interface DecodeOptions {
  /** What errors call it; default "image". */
  readonly name?: string;
  /** Width times height that is still decoded; default 100 million. */
  readonly maxPixels?: number;
}

export interface DecodeImageOptions extends DecodeOptions {
  /** What shows through where the picture is transparent; default white. `keep`: the image keeps its alpha, and its colours as they are. */
  readonly background?: Colour | 'keep';
  /** `srgb`: converted by the file's profile, the default. `stored`: the file's numbers, for pictures whose colours are numbers; its profile and
   * its alpha are not heeded. */
  readonly colours?: 'srgb' | 'stored';
}

const MAX_PIXELS = 100e6;

/** Loaded for the first picture of their format. */
const CODECS: Readonly<Record<Format, (bytes: Uint8Array, check: CheckSize) => Promise<Raster>>> = {
  JPEG: async (bytes, check) => (await import('./jpeg.ts')).jpegRaster(bytes, check),
  PNG: async (bytes, check) => (await import('./png.ts')).pngRaster(bytes, check),
  WebP: async (bytes, check) => (await import('./webp.ts')).webpRaster(bytes, check),
};

/** What is wrong with more than the bytes themselves. */
class RefusedImage extends Error {}

function checkFormat(bytes: Uint8Array, name: string): Format {
  const format = formatOf(bytes);
  if (format !== undefined) return format;
  throw new Error(`${name}: images are ${FORMATS}; got ${otherThan(bytes)}`);
}

const sizeCheck =
  (name: string, maxPixels: number): CheckSize =>
  ({ width, height }) => {
    if (width * height <= maxPixels) return;
    throw new RefusedImage(
      `${name}: an image has at most ${maxPixels} pixels; got ${width} x ${height}; make it smaller, or raise maxPixels`,
    );
  };

/** What decoders say of files that are whole. */
const UNREAD = /unsupported|sorry|unhandled critical chunk|does not read/i;
const TOO_OFTEN = /goes over its pixels/;
/** Of decoders and of the engines themselves, which say it of arrays and of a module's memory. */
const TOO_MUCH =
  /more memory than there is|insufficient memory|out of memory|could not allocate|allocation failed|invalid typed array length/i;

function told(name: string, error: unknown): Error {
  if (error instanceof RefusedImage) return error;
  const reason = error instanceof Error ? error.message : String(error);
  // A rule of ours has its own remedy; a decoder's word, or a trap in it, is about the bytes.
  if (!(error instanceof DecoderError || error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) {
    return new Error(`${name}: ${reason}`, { cause: error });
  }
  if (TOO_MUCH.test(reason)) {
    return new Error(`${name}: an image fits into memory; got one that does not (${reason}); make it smaller`);
  }
  if (TOO_OFTEN.test(reason))
    return new Error(`${name}: an image is drawn in few passes; got one that is not (${reason}); save it anew`);
  if (UNREAD.test(reason)) {
    return new Error(`${name}: an image is of a kind that is read; got another (${reason}); convert it`);
  }
  return new Error(`${name}: an image is whole; got one that ends early or is corrupt (${reason}); fetch it anew`);
}

/** Runs a decoder; what it says of the bytes is told with the file's name. */
async function decoded<T>(name: string, decode: () => Promise<T>): Promise<T> {
  try {
    return await decode();
  } catch (error) {
    throw told(name, error);
  }
}

/** The colours of a JPEG, PNG or WebP in sRGB: turned as EXIF says, laid on white where it is transparent, 16 bits cut to 8, inks converted.
 * @throws when it is none of them, is broken, or has more than maxPixels */
export async function decodeImage(bytes: Uint8Array, options: DecodeImageOptions = {}): Promise<RgbImage> {
  const { name = 'image', maxPixels = MAX_PIXELS, background, colours = 'srgb' } = options;
  const format = checkFormat(bytes, name);
  return decoded(name, async () => {
    const raster = await CODECS[format](bytes, sizeCheck(name, maxPixels));
    const image = await imageOf(raster, { asStored: colours === 'stored' });
    if (colours === 'stored') return { width: image.width, height: image.height, data: image.data };
    return background === 'keep' ? image : flatten(image, background);
  });
}

/** The numbers of a PNG of one channel: a label map, a palette's numbers rather than its colours.
 * @throws as decodeImage, and when it is no PNG of one channel, or a number is above 255 */
export async function decodeLabels(bytes: Uint8Array, options: DecodeOptions = {}): Promise<LabelMap> {
  const { name = 'labels', maxPixels = MAX_PIXELS } = options;
  if (checkFormat(bytes, name) !== 'PNG') {
    throw new Error(`${name}: labels are a PNG, which loses nothing; got another format; save them as PNG`);
  }
  const { width, height, data, exif } = await decoded(name, async () =>
    (await import('./png.ts')).pngNumbers(bytes, sizeCheck(name, maxPixels)),
  );
  const large = data.find((label) => label > IGNORE_LABEL);
  if (large !== undefined) {
    throw new Error(`${name}: labels are from 0 to ${IGNORE_LABEL}; got ${large}; number the classes anew`);
  }
  return orientLabels({ width, height, data: Uint8Array.from(data) }, exif && orientationOf(exif));
}
