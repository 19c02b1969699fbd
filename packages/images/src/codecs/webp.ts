import { compileModule, type Exports, newInstance } from './instance.ts';
import { type CheckSize, type Raster, splitAlpha } from './raster.ts';

interface WebpExports extends Exports {
  open(at: number, bytes: number): void;
  width(): number;
  height(): number;
  has_alpha(): number;
  decode(at: number, bytes: number): void;
}

const RGB = 3;
const RGBA = 4;
/** RIFF, its length and WEBP; of each chunk a name and its length. */
const FIRST_CHUNK = 12;
const CHUNK_HEADER = 8;

/** The bytes of a chunk, or undefined. @source RIFF: names of four letters, lengths in little endian, chunks at even places */
function chunkOf(bytes: Uint8Array, name: string): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = FIRST_CHUNK; at + CHUNK_HEADER <= bytes.length; ) {
    const [start, length] = [at + CHUNK_HEADER, view.getUint32(at + 4, true)];
    if (String.fromCharCode(...bytes.subarray(at, at + 4)) === name) return bytes.slice(start, start + length);
    at = start + length + (length % 2);
  }
  return undefined;
}

/** The extended header: after RIFF, WEBP and VP8X, one byte of flags. */
const FLAGS_AT = 20;
const ANIMATION = 0x02;

const isAnimation = (bytes: Uint8Array): boolean =>
  String.fromCharCode(...bytes.subarray(FIRST_CHUNK, FIRST_CHUNK + 4)) === 'VP8X' &&
  ((bytes[FLAGS_AT] ?? 0) & ANIMATION) !== 0;

let module: Promise<WebAssembly.Module> | undefined;

/** A WebP as libwebp decodes it. @throws DecoderError when it ends early or is corrupt; when it moves */
export async function webpRaster(bytes: Uint8Array, check: CheckSize): Promise<Raster> {
  if (isAnimation(bytes)) throw new Error('an image is one picture; got an animation; take one of its frames');
  module ??= import('./modules/webp.ts').then(({ MODULE }) => compileModule(MODULE));
  const { exports: webp, put, reserve, take } = await newInstance<WebpExports>(await module);
  webp.open(put(bytes), bytes.length);
  const [width, height, channels] = [webp.width(), webp.height(), webp.has_alpha() ? RGBA : RGB];
  check({ width, height });
  const [profile, exif] = [chunkOf(bytes, 'ICCP'), chunkOf(bytes, 'EXIF')];
  const length = width * height * channels;
  const at = reserve(length);
  webp.decode(at, length);
  const data = take(at, length);
  const size = { width, height, channels: RGB, ...(profile && { profile }), ...(exif && { exif }) } as const;
  return channels === RGBA ? { ...size, ...splitAlpha(data, RGB) } : { ...size, data };
}
