import { BackendError, messageOf } from './errors.ts';
import type { WasmOptions } from './types.ts';

const PACKAGE = '@tensorflow/tfjs-backend-wasm';
/** The smallest module that there is. */
const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** The builds of TensorFlow.js, and the script that threads of the last one load. */
export const WASM_FILES = {
  plain: 'tfjs-backend-wasm.wasm',
  simd: 'tfjs-backend-wasm-simd.wasm',
  threaded: 'tfjs-backend-wasm-threaded-simd.wasm',
  threadScript: 'tfjs-backend-wasm-threaded-simd.js',
} as const;

/** A file's address; undefined where a list of addresses lacks it. */
export function addressOf(file: string, paths: WasmOptions['paths']): string | undefined {
  const path = typeof paths === 'object' ? paths[file] : (paths ?? '') + file;
  return path === undefined ? undefined : new URL(path, globalThis.location.href).href;
}

function unreadable(paths: WasmOptions['paths'], reason: string, cause?: unknown): BackendError {
  const where = paths === undefined ? 'beside the script' : JSON.stringify(paths);
  return new BackendError(
    'load-failed',
    `wasm backend: its .wasm files must be readable; looked ${where} (${reason}); ` +
      `serve ${PACKAGE}/dist/*.wasm and say where with the option wasm.paths`,
    { cause },
  );
}

/** @throws BackendError blocked where the page's policy forbids WebAssembly */
export function refuseBlockedWasm(): void {
  try {
    new WebAssembly.Module(EMPTY_MODULE);
  } catch (cause) {
    throw new BackendError(
      'blocked',
      `wasm backend: the page's policy must allow WebAssembly; the browser said "${messageOf(cause)}"; ` +
        "add 'wasm-unsafe-eval' to script-src of the Content-Security-Policy, also of the worker's own file",
      { cause },
    );
  }
}

/** Fetches and compiles one of the builds. @throws BackendError load-failed that says what came in its place */
export async function compileWasm(file: string, paths: WasmOptions['paths']): Promise<WebAssembly.Module> {
  const address = addressOf(file, paths);
  if (address === undefined) throw unreadable(paths, `no address of ${file}`);
  let response: Response;
  try {
    response = await fetch(address);
  } catch (cause) {
    throw unreadable(paths, `${address}: ${messageOf(cause)}`, cause);
  }
  if (!response.ok) throw unreadable(paths, `${address}: status ${response.status}`);
  try {
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (cause) {
    const type = response.headers.get('content-type') ?? 'no content type';
    throw unreadable(paths, `${address}: ${type}, ${messageOf(cause)}`, cause);
  }
}
