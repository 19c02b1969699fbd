import type { WasmOptions } from './types.ts';
import { compileWasm, refuseBlockedWasm, WASM_FILES } from './wasm-files.ts';
import { allowedThreads, type Threads, threadScript, withoutThreads } from './wasm-threads.ts';

type Call = (...numbers: number[]) => number;

/** What Emscripten makes of a build, and what TensorFlow.js's backend calls of it. */
export interface WasmModule {
  cwrap(name: string, result: 'number' | null, parameters: readonly 'number'[]): Call;
  tfjs?: Readonly<Record<'init' | 'initWithThreadsCount' | 'getThreadsCount' | 'registerTensor' | 'disposeData' | 'dispose', Call>>; // biome-ignore format: one line
}

/** What threads load. */
interface ThreadConfig {
  readonly mainScriptUrlOrBlob: string | Blob;
  /** The address of the script that they run before. */
  readonly start: string;
}

type Factory = (config: object) => Promise<WasmModule>;

/** A CommonJS module's function, whichever way the bundler gives it. */
function functionOf(imported: unknown): Factory {
  let found = imported;
  while (typeof found !== 'function') found = (found as { default: unknown }).default;
  return found as Factory;
}

const singleFactory = async (): Promise<Factory> =>
  functionOf(await import('@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.js'));
const threadedFactory = async (): Promise<Factory> =>
  functionOf(await import('@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-threaded-simd.js'));

/** The functions of the build that the backend calls. @source tfjs-backend-wasm backend_wasm.ts */
function withFunctions(module: WasmModule): WasmModule {
  const { cwrap } = module;
  module.tfjs = {
    init: cwrap('init', null, []),
    initWithThreadsCount: cwrap('init_with_threads_count', null, ['number']),
    getThreadsCount: cwrap('get_threads_count', 'number', []),
    registerTensor: cwrap('register_tensor', null, ['number', 'number', 'number']),
    disposeData: cwrap('dispose_data', null, ['number']),
    dispose: cwrap('dispose', null, []),
  };
  return module;
}

interface ThreadStart {
  readonly wasmWorkerContents?: string;
  readonly default?: { readonly wasmWorkerContents: string };
}

/** The script that a thread runs before it loads the build. */
async function threadStart(): Promise<string> {
  const imported: ThreadStart = await import(
    // @ts-expect-error: TensorFlow.js's package declares the other modules of that folder, not this one
    '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-threaded-simd.worker.js'
  );
  const contents = imported.wasmWorkerContents ?? imported.default!.wasmWorkerContents;
  // In the text of that module a line's end is one already; in the worker's own text it is still an escape.
  return URL.createObjectURL(new Blob([contents.replace(/\n/g, '\\n')], { type: 'text/javascript' }));
}

async function instantiate(
  factory: Factory,
  compiled: WebAssembly.Module,
  threads?: ThreadConfig,
): Promise<WasmModule> {
  return new Promise((resolve, reject) => {
    const instantiateWasm = (
      imports: WebAssembly.Imports,
      use: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void,
    ): object => {
      WebAssembly.instantiate(compiled, imports).then((instance) => use(instance, compiled), reject);
      return {};
    };
    const locateFile = (path: string): string => (path.endsWith('.worker.js') ? (threads?.start ?? path) : path);
    const onAbort = (reason: unknown): void => reject(new Error(String(reason)));
    factory({ mainScriptUrlOrBlob: threads?.mainScriptUrlOrBlob, locateFile, instantiateWasm, onAbort }).then(
      resolve,
      reject,
    );
  });
}

/** TensorFlow.js's build in a browser, from bytes that are fetched here, so that what keeps it from starting can be told.
 * @throws BackendError blocked or load-failed */
export async function browserWasm(
  options: WasmOptions,
  simd: boolean,
): Promise<{ module: WasmModule; threads: Threads }> {
  refuseBlockedWasm();
  let threads: Threads = simd ? allowedThreads(options.threads) : { count: 1, reason: 'the browser has no SIMD' };
  if (threads.count > 1) {
    try {
      const mainScriptUrlOrBlob = await threadScript(threadedFactory, options);
      const [factory, compiled, start] = await Promise.all([
        threadedFactory(),
        compileWasm(WASM_FILES.threaded, options.paths),
        threadStart(),
      ]);
      const module = await instantiate(factory, compiled, { mainScriptUrlOrBlob, start });
      return { module: withFunctions(module), threads };
    } catch (error) {
      threads = withoutThreads(error);
    }
  }
  const file = simd ? WASM_FILES.simd : WASM_FILES.plain;
  const [factory, compiled] = await Promise.all([singleFactory(), compileWasm(file, options.paths)]);
  return { module: withFunctions(await instantiate(factory, compiled)), threads };
}
