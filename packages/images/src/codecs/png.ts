import { compileModule, type Exports, type Instance, newInstance } from './instance.ts';
import { brokenProfile, MOST_PROFILE } from './profile-rules.ts';
import { type CheckSize, type Raster, splitAlpha } from './raster.ts';

interface PngExports extends Exports {
  open(at: number, bytes: number, mostChunk: number): void;
  width(): number;
  height(): number;
  depth(): number;
  channels(): number;
  profile(): number;
  profile_bytes(): number;
  said(): number;
  exif(): number;
  exif_bytes(): number;
  start(asNumbers: number): void;
  passes(): number;
  row_bytes(): number;
  rows(at: number, count: number): void;
  finish(): void;
}

const BYTE = 8;
const COLOURS = 3;
const RGBA = 4;
/** What is held at once of what comes out. */
const ROWS = 16;

let module: Promise<WebAssembly.Module> | undefined;

async function open(bytes: Uint8Array, check: CheckSize): Promise<Instance<PngExports>> {
  module ??= import('./modules/png.ts').then(({ MODULE }) => compileModule(MODULE));
  const instance = await newInstance<PngExports>(await module);
  instance.exports.open(instance.put(bytes), bytes.length, MOST_PROFILE);
  check({ width: instance.exports.width(), height: instance.exports.height() });
  return instance;
}

/** The profile, which libpng leaves out where it is for other colours than the picture's. @throws when it is broken */
function profileOf({ exports: png, take, text }: Instance<PngExports>): Uint8Array | undefined {
  const at = png.profile();
  if (at !== 0) return take(at, png.profile_bytes());
  const said = text(png.said());
  if (said === '' || said.includes('not permitted')) return undefined;
  throw brokenProfile(said);
}

/** All rows, once decoding has begun. */
function rowsOf({ exports: png, reserve, view, take }: Instance<PngExports>): Uint8Array {
  const [height, row, passes] = [png.height(), png.row_bytes(), png.passes()];
  if (passes > 1) {
    // Each pass writes between the pixels of those before it.
    const at = reserve(row * height);
    for (let pass = 0; pass < passes; pass++) png.rows(at, height);
    png.finish();
    return take(at, row * height);
  }
  const buffer = reserve(row * ROWS);
  const data = new Uint8Array(row * height);
  for (let y = 0; y < height; y += ROWS) {
    const count = Math.min(ROWS, height - y);
    png.rows(buffer, count);
    data.set(view(buffer, count * row), y * row);
  }
  png.finish();
  return data;
}

/** A PNG as libpng decodes it, 16 bits cut to 8 as Pillow does. @throws DecoderError when it ends early or is corrupt */
export async function pngRaster(bytes: Uint8Array, check: CheckSize): Promise<Raster> {
  const instance = await open(bytes, check);
  const { exports: png, take } = instance;
  const profile = profileOf(instance);
  const exifAt = png.exif();
  const exif = exifAt === 0 ? undefined : take(exifAt, png.exif_bytes());
  png.start(0);
  const [width, height] = [png.width(), png.height()];
  const channels = png.row_bytes() / width;
  const data = rowsOf(instance);
  const size = { width, height, ...(profile && { profile }), ...(exif && { exif }) };
  if (channels === 1 || channels === COLOURS) return { ...size, channels, data };
  const colours = channels === RGBA ? COLOURS : 1;
  return { ...size, channels: colours, ...splitAlpha(data, colours) };
}

/** The numbers in a PNG of one channel, a palette's or grey ones as they are. */
export interface PngNumbers {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint16Array;
  readonly exif?: Uint8Array;
}

/** Reads numbers rather than colours. @throws when it has more channels, and as pngRaster */
export async function pngNumbers(bytes: Uint8Array, check: CheckSize): Promise<PngNumbers> {
  const instance = await open(bytes, check);
  const { exports: png, take } = instance;
  const channels = png.channels();
  if (channels !== 1) throw new Error(`labels have one channel; got ${channels}; save them as grey or with a palette`);
  const exifAt = png.exif();
  const exif = exifAt === 0 ? undefined : take(exifAt, png.exif_bytes());
  png.start(1);
  const [width, height, depth] = [png.width(), png.height(), png.depth()];
  const rows = rowsOf(instance);
  const data =
    depth > BYTE
      ? Uint16Array.from({ length: width * height }, (_, i) => 2 ** BYTE * rows[2 * i]! + rows[2 * i + 1]!)
      : rows;
  return { width, height, data, ...(exif && { exif }) };
}
