import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The builds, and what the threads of the last one load. */
const NAMES = [
  'tfjs-backend-wasm.wasm',
  'tfjs-backend-wasm-simd.wasm',
  'tfjs-backend-wasm-threaded-simd.wasm',
  'tfjs-backend-wasm-threaded-simd.js',
];

/** TensorFlow.js's WebAssembly, by the paths below a site where the runtime looks for it. */
export function wasmFiles(): Map<string, Uint8Array> {
  const package_ = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json');
  const folder = join(dirname(package_), 'wasm-out');
  return new Map(NAMES.map((name) => [`wasm/${name}`, readFileSync(join(folder, name))]));
}
