import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** TensorFlow.js's WebAssembly, by the paths below a site where the runtime looks for it. */
export function wasmFiles(): Map<string, Uint8Array> {
  const package_ = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json');
  const folder = join(dirname(package_), 'dist');
  const names = readdirSync(folder).filter((name) => name.endsWith('.wasm'));
  return new Map(names.map((name) => [`wasm/${name}`, readFileSync(join(folder, name))]));
}
