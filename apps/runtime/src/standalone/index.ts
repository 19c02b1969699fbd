import { createRuntime as create, type Runtime, type RuntimeOptions } from '../index.ts';

export { RULES, RuntimeError, removeStored, storedModels } from '../index.ts';

/** createRuntime with everything that it needs lying beside this file. */
export const createRuntime = (options: RuntimeOptions): Promise<Runtime> =>
  create({ worker: new URL('./worker/worker.js', import.meta.url), ...options });
