import { env, findBackendFactory, registerBackend, removeBackend, version_core } from '@tensorflow/tfjs-core';
import { BackendError } from '../errors.ts';
import { loadPeer } from '../packages.ts';
import type { BackendInfo, WebgpuOptions } from '../types.ts';
import { adapterNames, adapterTitle, isSoftwareAdapter, requestAdapter } from './adapter.ts';
import { limitsOf, requestDevice } from './device.ts';

/** The name under which TensorFlow.js knows it. */
const ENGINE_NAME = 'webgpu';
const PACKAGE = '@tensorflow/tfjs-backend-webgpu';

/** What is loaded now, so that selecting it again with the same options keeps its tensors. */
let loaded: { key: string; info: BackendInfo; device: GPUDevice; isLost: boolean } | undefined;

function describe(adapter: GPUAdapter, limits: Record<string, number>): BackendInfo {
  const names = adapterNames(adapter);
  const title = adapterTitle(names);
  const software = isSoftwareAdapter(names);
  return {
    name: 'webgpu',
    engineName: ENGINE_NAME,
    description: `WebGPU on ${title}${software ? ' (software)' : ''}`,
    device: title,
    version: version_core,
    capabilities: {
      f16: adapter.features.has('shader-f16'),
      subgroups: adapter.features.has('subgroups' as GPUFeatureName),
      timestamps: adapter.features.has('timestamp-query'),
      software,
      maxTensorBytes: Math.min(limits['maxStorageBufferBindingSize'] ?? 0, limits['maxBufferSize'] ?? 0),
      limits,
    },
  };
}

/** What WebGPU is here; asks for an adapter, but opens no device. @throws BackendError */
export async function inspectWebgpu(options: WebgpuOptions = {}): Promise<BackendInfo> {
  const adapter = await requestAdapter(options);
  await loadPeer('webgpu', PACKAGE, () => import('@tensorflow/tfjs-backend-webgpu'));
  return describe(adapter, limitsOf(adapter.limits));
}

function refuseSoftware({ device, capabilities }: BackendInfo): void {
  if (!capabilities.software) return;
  throw new BackendError(
    'no-device',
    `webgpu backend: auto takes a hardware adapter only; ${device} is software; choose webgpu by name to use it`,
  );
}

/** Loads WebGPU with a device of our own and registers it in the place of TensorFlow.js's.
 * With `hardwareOnly` a software adapter is refused. @throws BackendError */
export async function loadWebgpu(options: WebgpuOptions = {}, hardwareOnly = false): Promise<BackendInfo> {
  const key = JSON.stringify(options);
  if (loaded?.key === key && !loaded.isLost && findBackendFactory(ENGINE_NAME)) {
    if (hardwareOnly) refuseSoftware(loaded.info);
    return loaded.info;
  }
  const adapter = await requestAdapter(options);
  if (hardwareOnly) refuseSoftware(describe(adapter, {}));
  // TensorFlow.js's package registers its backend and kernels as it loads, and only where navigator.gpu is there.
  const packing = await loadPeer('webgpu', PACKAGE, () => import('./packed/packing-backend.ts'));
  const { installPrograms } = await import('./programs/install.ts');
  const { nameKernels } = await import('./kernel-names.ts');
  const device = await requestDevice(adapter, options);
  if (findBackendFactory(ENGINE_NAME)) removeBackend(ENGINE_NAME);
  installPrograms(ENGINE_NAME);
  nameKernels(ENGINE_NAME);
  const backend = new packing.PackingWebGPUBackend(device, adapter.info, options);
  registerBackend(ENGINE_NAME, () => backend, 3);
  env().set('WEBGPU_CPU_FORWARD', options.cpuForward ?? false);
  const info = describe(adapter, { ...backend.limits });
  const current = { key, info, device, isLost: false };
  device.lost.then(() => {
    current.isLost = true;
  });
  loaded = current;
  return info;
}
