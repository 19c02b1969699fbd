/// <reference types="vite/client" />
import { createRuntime as create, type Runtime, type RuntimeOptions } from '../src/index.ts';
import workerUrl from '../src/worker/worker.ts?worker&url';

export { RuntimeError } from '../src/index.ts';

/** A worker of a script that may lie on another host, which browsers start only by way of a script of the page's own. */
function startWorker(): Worker {
  const { href, origin } = new URL(workerUrl, import.meta.url);
  if (origin === location.origin) return new Worker(href, { type: 'module' });
  const own = URL.createObjectURL(new Blob([`import ${JSON.stringify(href)};`], { type: 'text/javascript' }));
  const worker = new Worker(own, { type: 'module' });
  // The script is fetched by the time of the first message.
  worker.addEventListener('message', () => URL.revokeObjectURL(own), { once: true });
  return worker;
}

/** createRuntime with everything that it needs lying beside this file. */
export const createRuntime = (options: RuntimeOptions): Promise<Runtime> =>
  create({ wasmPaths: new URL('./wasm/', import.meta.url).href, worker: startWorker, ...options });
