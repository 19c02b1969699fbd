import decode, { init } from '@jsquash/webp/decode.js';
import { withoutAlpha } from '../alpha.ts';
import type { RgbImage } from '../image.ts';

let ready: Promise<void> | undefined;

/** In Node the codec cannot fetch its WebAssembly, and is given it; a bundler's browser build finds it by itself. */
async function start(): Promise<void> {
  if (typeof process === 'undefined' || process.versions?.node === undefined) return;
  // Not imported: bundlers for browsers find no such modules.
  const { readFile } = process.getBuiltinModule('node:fs/promises');
  const { createRequire } = process.getBuiltinModule('node:module');
  const path = createRequire(import.meta.url).resolve('@jsquash/webp/codec/dec/webp_dec.wasm');
  await init(await WebAssembly.compile(await readFile(path)));
}

/** The extended header: after RIFF, WEBP and VP8X, one byte of flags. */
const FLAGS_AT = 20;
const ANIMATION = 0x02;

/** Whether a WebP says that it moves. */
export const isAnimation = (bytes: Uint8Array): boolean =>
  String.fromCharCode(...bytes.subarray(12, 16)) === 'VP8X' && ((bytes[FLAGS_AT] ?? 0) & ANIMATION) !== 0;

/** A WebP's colours without its alpha. Animations are none that it reads. */
export async function webpImage(bytes: Uint8Array): Promise<RgbImage> {
  ready ??= start();
  await ready;
  return withoutAlpha(await decode(Uint8Array.from(bytes).buffer));
}
