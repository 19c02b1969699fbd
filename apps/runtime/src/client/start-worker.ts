import { RuntimeError } from '../protocol/errors.ts';

/** The runtime's worker: its file's address, or who makes it. */
export type WorkerSource = string | URL | (() => Worker);

/** The error of a worker that does not start, or breaks. */
export const workerFailed = (reason: string, cause?: unknown): RuntimeError =>
  new RuntimeError(
    'WorkerFailed',
    `runtime: its worker starts; got "${reason}"; serve the worker's file, give its address by the option worker, and allow it by the page's policy`,
    { cause },
  );

/** A worker of a script's text. A page without an origin, such as a sandboxed frame's, may start none but what its address holds itself. */
export function workerOfText(text: string): Worker {
  if (globalThis.origin === 'null') {
    return new Worker(`data:text/javascript,${encodeURIComponent(text)}`, { type: 'module' });
  }
  const own = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  const revoke = (): void => URL.revokeObjectURL(own);
  try {
    const worker = new Worker(own, { type: 'module' });
    // The script is fetched by the time of the first message, or never.
    for (const type of ['message', 'error']) worker.addEventListener(type, revoke, { once: true });
    return worker;
  } catch (error) {
    revoke();
    throw error;
  }
}

/** A worker of a script that may lie on another host, which browsers start only by way of a script of the page's own. */
function workerAt(address: string | URL): Worker {
  const { href, origin } = new URL(address, location.href);
  if (origin === globalThis.origin) return new Worker(href, { type: 'module' });
  return workerOfText(`import ${JSON.stringify(href)};`);
}

/** Starts a worker. @throws RuntimeError `NoWorker` where there are none, `WorkerFailed` where the browser refuses */
export function startWorker(source: WorkerSource): Worker {
  if (typeof Worker === 'undefined') {
    throw new RuntimeError(
      'NoWorker',
      'runtime: it computes in a worker of a browser; got none here; in Node use openPipeline of @rass/pipeline/node',
    );
  }
  try {
    return typeof source === 'function' ? source() : workerAt(source);
  } catch (cause) {
    throw workerFailed(cause instanceof Error ? cause.message : String(cause), cause);
  }
}
