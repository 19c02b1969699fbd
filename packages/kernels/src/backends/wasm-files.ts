import { BackendError, messageOf } from './errors.ts';
import type { WasmOptions } from './types.ts';

const PACKAGE = '@tensorflow/tfjs-backend-wasm';
/** The smallest module that there is. */
const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** A file has less than half a megabyte. */
const FETCH_MS = 60_000;
const TRIES = 3;
const RETRY_MS = 500;

/** The builds of TensorFlow.js, and the script that threads of the last one load. */
export const WASM_FILES = {
  plain: 'tfjs-backend-wasm.wasm',
  simd: 'tfjs-backend-wasm-simd.wasm',
  threaded: 'tfjs-backend-wasm-threaded-simd.wasm',
  threadScript: 'tfjs-backend-wasm-threaded-simd.js',
} as const;

/** A file's address; undefined where a list of addresses lacks it. @throws BackendError where a relative one has nothing to start from */
export function addressOf(file: string, paths: WasmOptions['paths']): string | undefined {
  const path = typeof paths === 'object' ? paths[file] : (paths ?? '') + file;
  if (path === undefined) return undefined;
  try {
    return new URL(path, globalThis.location.href).href;
  } catch (cause) {
    throw new BackendError(
      'load-failed',
      `wasm backend: the address of a .wasm file must be whole in a worker of a blob: or data: address; got "${path}"; ` +
        'give an absolute URL in wasm.paths',
      { cause },
    );
  }
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
  const { bytes, type } = await fetched(address, paths);
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw unreadable(paths, `${address}: ${type}, ${messageOf(cause)}`, cause);
  }
}

/** A file's bytes, asked for again where the network breaks or is silent. */
async function fetched(address: string, paths: WasmOptions['paths']): Promise<{ bytes: ArrayBuffer; type: string }> {
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await fetch(address, { signal: AbortSignal.timeout(FETCH_MS) });
      if (!response.ok) throw unreadable(paths, `${address}: status ${response.status}`);
      return { bytes: await response.arrayBuffer(), type: response.headers.get('content-type') ?? 'no content type' };
    } catch (cause) {
      if (cause instanceof BackendError) throw cause;
      if (attempt === TRIES) throw unreadable(paths, `${address}: ${messageOf(cause)}`, cause);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * attempt));
    }
  }
}
