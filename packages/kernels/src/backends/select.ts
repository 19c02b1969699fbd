import { engine } from '@tensorflow/tfjs-core';
import { registerHostKernels } from '../host-kernels/install.ts';
import { register, repairedForward } from '../repaired-kernels/install.ts';
import { describeCpu } from './cpu.ts';
import { BackendError, messageOf } from './errors.ts';
import { loadNative } from './native.ts';
import { checkSelectOptions } from './select-options.ts';
import { BACKEND_NAMES, type BackendInfo, type BackendName, type PassedOver, type SelectOptions } from './types.ts';
import { loadWasm } from './wasm.ts';
import { loadWebgpu } from './webgpu/load.ts';

async function load(name: BackendName, options: SelectOptions, hardwareOnly: boolean): Promise<BackendInfo> {
  switch (name) {
    case 'native':
      return loadNative(options.cacheDir);
    case 'webgpu':
      return loadWebgpu(options.webgpu, hardwareOnly);
    case 'wasm':
      return loadWasm(options.wasm);
    case 'cpu':
      return describeCpu();
  }
}

async function activate(name: BackendName, options: SelectOptions, hardwareOnly = false): Promise<BackendInfo> {
  const info = await load(name, options, hardwareOnly);
  const accepted = await engine().setBackend(info.engineName);
  if (!accepted) {
    throw new BackendError(
      'load-failed',
      `${name} backend: TensorFlow.js must accept it; it did not start; see the console, or choose another backend`,
    );
  }
  await engine().ready();
  // After the load: the native backend's package registers TensorFlow.js's own gradients.
  if (options.gradients !== false) {
    (await import('../gradients/install.ts')).installGradients();
    (await import('../repaired-kernels/all.ts')).registerRepairedKernels();
  }
  register(repairedForward);
  registerHostKernels();
  return info;
}

async function activateBest(options: SelectOptions): Promise<BackendInfo> {
  const passedOver: PassedOver[] = [];
  for (const name of BACKEND_NAMES) {
    try {
      return { ...(await activate(name, options, true)), passedOver };
    } catch (error) {
      const code = error instanceof BackendError ? error.code : undefined;
      passedOver.push({ name, code, reason: messageOf(error) });
    }
  }
  const reasons = passedOver.map(({ reason }) => reason).join('\n');
  throw new BackendError('not-installed', `backend auto: one backend must be there; none is:\n${reasons}`);
}

/** Makes a backend the current one and registers the repaired gradients. `auto` takes the first of native, webgpu,
 * wasm and cpu that this machine has, never a software GPU; any other name is that backend or an error. Other
 * WebGPU options than last time give a new device, and the tensors of the old one are gone.
 * @throws BackendError that says what to install */
export async function selectBackend(
  name: BackendName | 'auto' = 'auto',
  options: SelectOptions = {},
): Promise<BackendInfo> {
  checkSelectOptions('selectBackend', options);
  if (name !== 'auto' && !BACKEND_NAMES.includes(name)) {
    throw new BackendError(
      'unknown-name',
      `selectBackend: the name must be auto, ${BACKEND_NAMES.join(', ')}; got "${name}"; choose one of them`,
    );
  }
  return name === 'auto' ? activateBest(options) : activate(name, options);
}
