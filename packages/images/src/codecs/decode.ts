import { imageSize } from 'image-size';
import { IGNORE_LABEL, type LabelMap, type RgbImage } from '../image.ts';
import { jpegImage } from './jpeg.ts';
import { pngImage, pngNumbers } from './png.ts';
import { isAnimation, webpImage } from './webp.ts';

export interface DecodeOptions {
  /** What errors call it; default "image". */
  readonly name?: string;
  /** Width times height that is still decoded; default 100 million. */
  readonly maxPixels?: number;
}

const MAX_PIXELS = 100e6;

const CODECS = { jpg: jpegImage, png: async (bytes: Uint8Array) => pngImage(bytes), webp: webpImage } as const;
type Format = keyof typeof CODECS;
const FORMATS = 'JPEG, PNG and WebP';

const startsWith = (bytes: Uint8Array, text: string, at = 0): boolean =>
  [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));

/** By the first bytes, whatever a file is called. */
function formatOf(bytes: Uint8Array): Format | undefined {
  if (startsWith(bytes, '\xff\xd8\xff')) return 'jpg';
  if (startsWith(bytes, '\x89PNG\r\n\x1a\n')) return 'png';
  return startsWith(bytes, 'RIFF') && startsWith(bytes, 'WEBP', 8) ? 'webp' : undefined;
}

const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().replace(/:$/, '');

function sizeOf(bytes: Uint8Array, name: string): { width: number; height: number } {
  try {
    return imageSize(bytes);
  } catch (error) {
    throw new Error(`${name}: a whole image has a header; got one that is broken (${reasonOf(error)}); fetch it anew`);
  }
}

/** The format, once the bytes are worth decoding. */
function check(bytes: Uint8Array, { name = 'image', maxPixels = MAX_PIXELS }: DecodeOptions): Format {
  const format = formatOf(bytes);
  if (format === undefined) {
    const got = bytes.length === 0 ? 'an empty file' : 'something else';
    throw new Error(`${name}: images are ${FORMATS}; got ${got}; convert it`);
  }
  if (format === 'webp' && isAnimation(bytes)) {
    throw new Error(`${name}: an image is one picture; got an animation; take one of its frames`);
  }
  const { width, height } = sizeOf(bytes, name);
  if (width * height <= maxPixels) return format;
  throw new Error(
    `${name}: an image has at most ${maxPixels} pixels; got ${width} x ${height}; make it smaller, or raise maxPixels`,
  );
}

async function decoded<T>(name: string, decode: () => Promise<T> | T): Promise<T> {
  try {
    return await decode();
  } catch (error) {
    throw new Error(
      `${name}: an image is whole; got one that ends early or is corrupt (${reasonOf(error)}); fetch it anew`,
    );
  }
}

/** The colours of a JPEG, PNG or WebP: turned as EXIF says, alpha left out, 16 bits cut to 8, CMYK converted.
 * @throws when it is none of them, is broken, or has more than maxPixels */
export async function decodeImage(bytes: Uint8Array, options: DecodeOptions = {}): Promise<RgbImage> {
  const format = check(bytes, options);
  return decoded(options.name ?? 'image', () => CODECS[format](bytes));
}

/** The numbers of a PNG of one channel: a label map, a palette's numbers rather than its colours.
 * @throws as decodeImage, and when it is no PNG of one channel, or a number is above 255 */
export async function decodeLabels(bytes: Uint8Array, options: DecodeOptions = {}): Promise<LabelMap> {
  const name = options.name ?? 'labels';
  if (check(bytes, { ...options, name }) !== 'png') {
    throw new Error(`${name}: labels are a PNG, which loses nothing; got another format; save them as PNG`);
  }
  const { width, height, data } = await decoded(name, () => pngNumbers(bytes));
  const large = data.find((label) => label > IGNORE_LABEL);
  if (large === undefined) return { width, height, data: Uint8Array.from(data) };
  throw new Error(`${name}: labels are from 0 to ${IGNORE_LABEL}; got ${large}; number the classes anew`);
}
