import { engine, env, findBackend, type KernelBackend, registerBackend, removeBackend } from '@tensorflow/tfjs-core';
import { isNode } from './environment.ts';
import { BackendError, messageOf } from './errors.ts';
import { nodeEntry } from './node-entry.ts';
import { loadPeer } from './packages.ts';
import type { BackendInfo, WasmOptions } from './types.ts';

const PACKAGE = '@tensorflow/tfjs-backend-wasm';
/** Among the backends of TensorFlow.js, as its own package has it. */
const PRIORITY = 2;

function importWasm() {
  return loadPeer('wasm', PACKAGE, () => import('@tensorflow/tfjs-backend-wasm'));
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

/** In Node TensorFlow.js has no threads. */
async function threadCount(asked: number | undefined): Promise<number> {
  return isNode() ? 1 : (await import('./wasm-threads.ts')).allowedThreads(asked).count;
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
    capabilities: { threads: simd ? await threadCount(threads) : 1, simd, maxTensorBytes: 2 ** 32 },
  };
}

/** Why the backend that runs has one thread. */
let oneThread: string | undefined;

/** Registers a build that is started here, in the place of TensorFlow.js's own start, which tells no reason where it fails. */
async function startInBrowser(tfjs: Awaited<ReturnType<typeof importWasm>>, options: WasmOptions): Promise<void> {
  const simd = await env().getAsync('WASM_HAS_SIMD_SUPPORT').then(Boolean);
  const { browserWasm } = await import('./wasm-module.ts');
  const { module, threads } = await browserWasm(options, simd);
  oneThread = threads.reason;
  tfjs.setThreadsCount(threads.count);
  env().set('WASM_HAS_MULTITHREAD_SUPPORT', threads.count > 1);
  removeBackend('wasm');
  const own = module as unknown as ConstructorParameters<typeof tfjs.BackendWasm>[0];
  registerBackend('wasm', () => new tfjs.BackendWasm(own) as KernelBackend, PRIORITY);
}

async function startInNode(tfjs: Awaited<ReturnType<typeof importWasm>>, options: WasmOptions): Promise<void> {
  env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  tfjs.setThreadsCount(1);
  tfjs.setWasmPaths(options.paths ?? (await nodeEntry()).wasmFolder());
}

/** Loads and starts the wasm backend. Its files are read from the package in Node and fetched in a browser.
 * @throws BackendError not-installed, blocked by the page's policy, or load-failed naming the option that says where the files are */
export async function loadWasm(options: WasmOptions = {}): Promise<BackendInfo> {
  const tfjs = await importWasm();
  if (!engine().registry['wasm']) {
    await (isNode() ? startInNode : startInBrowser)(tfjs, options);
    await start(options);
    refuseFailedAllocations();
  }
  const info = await describeWasm(options.threads);
  const threads = tfjs.getThreadsCount();
  const threadsReason = threads === 1 && oneThread !== undefined ? { threadsReason: oneThread } : {};
  return { ...info, capabilities: { ...info.capabilities, threads, ...threadsReason } };
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
