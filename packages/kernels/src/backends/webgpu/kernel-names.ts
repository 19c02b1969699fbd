import { getKernelsForBackend, type KernelConfig, registerKernel, unregisterKernel } from '@tensorflow/tfjs-core';
import type { CheckedWebGPUBackend } from './checked-backend.ts';

const named = new WeakSet<KernelConfig['kernelFunc']>();

/** Lets the backend know which kernel is running, so that its errors name the op. A kernel that calls another through
 * its function keeps its own name. Kernels that are registered later go by their program's class. Idempotent. */
export function nameKernels(engineName: string): void {
  for (const config of getKernelsForBackend(engineName)) {
    if (named.has(config.kernelFunc)) continue;
    const { kernelName, kernelFunc } = config;
    const wrapped: KernelConfig['kernelFunc'] = (params) => {
      const backend = params.backend as CheckedWebGPUBackend;
      const outer = backend.currentKernel;
      backend.currentKernel = outer ?? kernelName;
      try {
        return kernelFunc(params);
      } finally {
        backend.currentKernel = outer;
      }
    };
    named.add(wrapped);
    unregisterKernel(kernelName, engineName);
    registerKernel({ ...config, kernelFunc: wrapped });
  }
}
