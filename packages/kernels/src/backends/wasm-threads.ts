import { messageOf } from './errors.ts';
import type { WasmOptions } from './types.ts';
import { addressOf, WASM_FILES } from './wasm-files.ts';

/** TensorFlow.js's build uses at most half of the logical cores, and 8. */
const MOST_THREADS = 8;
/** Until the script that threads load has come. */
const TRIAL_MS = 10_000;
/** What that script calls the build. */
const FACTORY = 'WasmBackendModuleThreadedSimd';

/** How many threads there may be, or why there is one. */
export interface Threads {
  readonly count: number;
  readonly reason?: string;
}

/** What the page and the machine allow; the threaded build starts 8 workers, so it must be worth it. */
export function allowedThreads(asked = MOST_THREADS): Threads {
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === true;
  if (!isolated) {
    return {
      count: 1,
      reason:
        'the page is not cross-origin isolated; send Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp',
    };
  }
  const cores = globalThis.navigator.hardwareConcurrency ?? 1;
  const count = Math.max(1, Math.min(asked, MOST_THREADS, Math.floor(cores / 2)));
  return count > 1 ? { count } : { count, reason: asked > 1 ? `there are ${cores} cores` : '1 was asked for' };
}

/** TensorFlow.js hands its threads the text of a function; where a bundler has shortened the names around that function, they fail with
 * "e is not defined". This function's own text tells whether names were shortened. */
function namesAreShortened(): boolean {
  // The pattern does not match its own text.
  return !/function\s+namesAreShortened/.test(namesAreShortened.toString());
}

/** Whether a worker of a script of the page's own loads the build: not where the page's policy or the server's headers forbid it. */
async function loads(script: string): Promise<void> {
  const text = `try { importScripts(${JSON.stringify(script)}); postMessage(typeof ${FACTORY}); } catch (error) { postMessage(String(error)); }`;
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  let worker: Worker | undefined;
  try {
    const said = await new Promise<string>((resolve, reject) => {
      worker = new Worker(url);
      worker.onmessage = ({ data }) => resolve(String(data));
      worker.onerror = ({ message }) => reject(new Error(message || 'a worker of a blob: address does not start'));
      setTimeout(() => reject(new Error(`no answer in ${TRIAL_MS / 1000} s`)), TRIAL_MS);
    });
    if (said !== 'function') throw new Error(said);
  } finally {
    worker?.terminate();
    URL.revokeObjectURL(url);
  }
}

/** What threads load: the build's own file where it is served, which no minifier has touched; else the function's text, where it is whole.
 * @throws when neither can be had */
export async function threadScript(
  factory: () => Promise<unknown>,
  { paths, threads }: WasmOptions,
): Promise<string | Blob> {
  const file = addressOf(WASM_FILES.threadScript, paths);
  const served = file === undefined ? false : await fetch(file).then(isScript, () => false);
  if (served) {
    await loads(file!);
    return file!;
  }
  // Who asks for threads in a minified bundle has tried that their bundler leaves the function whole, as some do.
  if (threads === undefined && namesAreShortened()) {
    throw new Error(
      `a minified bundle needs ${WASM_FILES.threadScript}; serve it beside the .wasm files, from wasm-out/ of @tensorflow/tfjs-backend-wasm`,
    );
  }
  const blob = new Blob([`var ${FACTORY} = ${String(await factory())}`], { type: 'text/javascript' });
  const url = URL.createObjectURL(blob);
  await loads(url).finally(() => URL.revokeObjectURL(url));
  return blob;
}

async function isScript(response: Response): Promise<boolean> {
  return response.ok && (await response.text()).includes(`var ${FACTORY}`);
}

/** Why there is one thread where more were allowed. */
export const withoutThreads = (error: unknown): Threads => ({ count: 1, reason: messageOf(error) });
