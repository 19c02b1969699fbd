import { engine, env, findBackend } from '@tensorflow/tfjs-core';
import { isNode, nodeEntry } from './environment.ts';
import { BackendError, messageOf } from './errors.ts';
import { loadPeer } from './packages.ts';
import type { BackendInfo, WasmOptions } from './types.ts';

const PACKAGE = '@tensorflow/tfjs-backend-wasm';

function importWasm() {
  return loadPeer('wasm', PACKAGE, () => import('@tensorflow/tfjs-backend-wasm'));
}

/** The threaded build hands its workers the text of a function; where a bundler has shortened the names around that
 * function, the workers fail with "e is not defined". This function's own text tells whether names were shortened. */
function namesAreShortened(): boolean {
  // The pattern does not match its own text.
  return !/function\s+namesAreShortened/.test(namesAreShortened.toString());
}

/** TensorFlow.js's build uses at most half of the logical cores, and 8. */
const MOST_THREADS = 8;

/** How many threads the build can use here. The threaded one starts 8 workers, so it must be worth it. Who asks for
 * threads in a minified bundle has tried that their bundler leaves the function whole, as some do. */
function threadCount(asked?: number): number {
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === true;
  if (isNode() || !isolated || (asked === undefined && namesAreShortened())) return 1;
  const cores = globalThis.navigator.hardwareConcurrency ?? 1;
  return Math.max(1, Math.min(asked ?? MOST_THREADS, MOST_THREADS, Math.floor(cores / 2)));
}

/** wasm's allocator answers 0 when its 4 GiB are used up, and TensorFlow.js would write there. */
function refuseFailedAllocations(): void {
  const { wasm } = findBackend('wasm') as unknown as { wasm: { _malloc: (bytes: number) => number } };
  let allocate = wasm._malloc;
  const checked = (bytes: number): number => {
    const address = allocate(bytes);
    if (address !== 0 || bytes === 0) return address;
    throw new Error(
      `wasm: a tensor must fit into WebAssembly's 4 GiB; ${bytes} more bytes do not beside ${engine().state.numBytes}; ` +
        'dispose of tensors, work on smaller pieces, or choose another backend',
    );
  };
  // Emscripten's function replaces itself when it is first called.
  Object.defineProperty(wasm, '_malloc', {
    get: () => checked,
    set: (replacement: typeof allocate) => {
      allocate = replacement;
    },
  });
}

/** What wasm can do here, without starting it. @throws BackendError not-installed or unsupported */
export async function describeWasm(threads?: number): Promise<BackendInfo> {
  const { version_wasm } = await importWasm();
  if (typeof WebAssembly === 'undefined') {
    throw new BackendError(
      'unsupported',
      'wasm backend: the platform must have WebAssembly; this one has none; choose cpu',
    );
  }
  const simd = await env().getAsync('WASM_HAS_SIMD_SUPPORT').then(Boolean);
  return {
    name: 'wasm',
    engineName: 'wasm',
    description: `TensorFlow.js ${version_wasm} in WebAssembly`,
    device: 'cpu',
    version: version_wasm,
    capabilities: { threads: simd ? threadCount(threads) : 1, simd, maxTensorBytes: 2 ** 32 },
  };
}

/** Loads and starts the wasm backend. Its files are read from the package in Node and fetched in a browser.
 * @throws BackendError not-installed, or load-failed naming the option that says where the files are */
export async function loadWasm(options: WasmOptions = {}): Promise<BackendInfo> {
  const tfjs = await importWasm();
  if (!engine().registry['wasm']) {
    const threads = threadCount(options.threads);
    env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads > 1);
    tfjs.setThreadsCount(threads);
    const paths = options.paths ?? (isNode() ? (await nodeEntry()).wasmFolder() : undefined);
    if (paths !== undefined) tfjs.setWasmPaths(paths);
    await start(options);
    refuseFailedAllocations();
  }
  const info = await describeWasm(options.threads);
  const threads = tfjs.getThreadsCount();
  return { ...info, capabilities: { ...info.capabilities, threads } };
}

async function start(options: WasmOptions): Promise<void> {
  const outcome = await engine()
    .setBackend('wasm')
    .catch((error: unknown) => messageOf(error));
  if (outcome === true) return;
  const where = options.paths === undefined ? 'beside the script' : JSON.stringify(options.paths);
  throw new BackendError(
    'load-failed',
    `wasm backend: its .wasm files must be readable; looked ${where}${typeof outcome === 'string' ? ` (${outcome})` : ''}; ` +
      `serve ${PACKAGE}/dist/*.wasm and say where with the option wasm.paths`,
  );
}
