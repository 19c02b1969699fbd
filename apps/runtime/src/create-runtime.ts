import { type Runtime, type RuntimeOptions, startRuntime } from './client/runtime.ts';

/** The worker beside this file. Bundlers find it by this expression, which has to stay as it is. */
const ownWorker = (): Worker =>
  new Worker(new URL('./standalone/worker/worker.js', import.meta.url), { type: 'module' });

/** Starts a worker and opens a model in it: what it needs is fetched, verified and kept for the next visit.
 * @throws RuntimeError, or the signal's reason; nothing is left behind then */
export const createRuntime = (options: RuntimeOptions): Promise<Runtime> => startRuntime(options, ownWorker);
