import { createRequire } from 'node:module';
import { join } from 'node:path';
import { BackendError, messageOf } from './errors.ts';
import { packageFolder } from './native/sources.ts';

interface DawnModule {
  create: (toggles: readonly string[]) => GPU;
  globals: object;
}

async function importDawn(): Promise<DawnModule> {
  const folder = packageFolder('webgpu');
  if (folder === undefined) {
    throw new BackendError(
      'not-installed',
      'webgpu backend: in Node the package webgpu (Dawn) must be installed; it is not found; run `npm install webgpu`',
    );
  }
  try {
    return (await import(createRequire(join(folder, 'package.json')).resolve(folder))) as DawnModule;
  } catch (error) {
    throw new BackendError(
      'load-failed',
      `webgpu backend: the system must be able to load Dawn; it said "${messageOf(error).split('\n')[0]}"; ` +
        'see the README of the package webgpu for the systems that it has binaries for',
      { cause: error },
    );
  }
}

/** What was put into navigator.gpu, so that a WebGPU of another origin is left alone. */
let created: { gpu: GPU; toggles: string } | undefined;

/** Gives Node a `navigator.gpu` from the npm package webgpu, with the WebGPU classes as globals; TensorFlow.js looks
 * for both. Other toggles than last time give another one; one that other code made is taken as it is.
 * @throws BackendError not-installed or load-failed */
export async function createDawn(toggles: readonly string[] = []): Promise<GPU> {
  const holder = globalThis as { navigator?: { gpu?: GPU } };
  const present = holder.navigator?.gpu;
  const key = toggles.join('\n');
  if (present && (present !== created?.gpu || created.toggles === key)) return present;
  const { create, globals } = await importDawn();
  Object.assign(globalThis, globals);
  const gpu = create(toggles);
  if (holder.navigator === undefined) {
    Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true, writable: true });
  }
  Object.defineProperty(holder.navigator, 'gpu', { value: gpu, configurable: true });
  created = { gpu, toggles: key };
  return gpu;
}
