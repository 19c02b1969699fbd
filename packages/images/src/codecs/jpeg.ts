import { compileModule, type Exports, newInstance } from './instance.ts';
import type { CheckSize, Raster } from './raster.ts';

interface JpegExports extends Exports {
  open(at: number, bytes: number, scans: number): void;
  width(): number;
  height(): number;
  components(): number;
  profile(): number;
  profile_bytes(): number;
  exif(): number;
  exif_bytes(): number;
  start(): void;
  rows(at: number, most: number): number;
  finish(): void;
}

/** Progressive files have ten or eighteen; each goes over the whole picture, which a small file can ask for without end. */
const MOST_SCANS = 40;
/** What is held at once of what comes out. */
const ROWS = 16;

let module: Promise<WebAssembly.Module> | undefined;

/** A JPEG as libjpeg-turbo decodes it, which Pillow does too. @throws DecoderError when it ends early or is corrupt */
export async function jpegRaster(bytes: Uint8Array, check: CheckSize): Promise<Raster> {
  module ??= import('./modules/jpeg.ts').then(({ MODULE }) => compileModule(MODULE));
  const { exports: jpeg, put, reserve, take, view } = await newInstance<JpegExports>(await module);
  jpeg.open(put(bytes), bytes.length, MOST_SCANS);
  const [width, height, channels] = [jpeg.width(), jpeg.height(), jpeg.components()];
  check({ width, height });
  if (channels !== 1 && channels !== 3 && channels !== 4) {
    throw new Error(`a JPEG has 1, 3 or 4 components; got ${channels}`);
  }
  const [profileAt, exifAt] = [jpeg.profile(), jpeg.exif()];
  const profile = profileAt === 0 ? undefined : take(profileAt, jpeg.profile_bytes());
  const exif = exifAt === 0 ? undefined : take(exifAt, jpeg.exif_bytes());
  jpeg.start();
  const row = width * channels;
  const buffer = reserve(ROWS * row);
  const data = new Uint8Array(row * height);
  for (let y = 0; y < height; ) {
    const read = jpeg.rows(buffer, ROWS);
    data.set(view(buffer, read * row), y * row);
    y += read;
  }
  jpeg.finish();
  return { width, height, channels, data, ...(profile && { profile }), ...(exif && { exif }) };
}
