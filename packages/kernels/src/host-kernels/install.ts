import { getKernel, getKernelsForBackend, registerKernel } from '@tensorflow/tfjs-core';
import { deformableAttentionKernels } from './deformable-attention.ts';

/** Gives the loaded backends whose memory is the host's, cpu and wasm, those kernels of ours that are loops over it. Idempotent. */
export function registerHostKernels(): void {
  for (const backendName of ['cpu', 'wasm']) {
    if (getKernelsForBackend(backendName).length === 0) continue;
    for (const kernel of deformableAttentionKernels) {
      if (getKernel(kernel.kernelName, backendName) === undefined) registerKernel({ ...kernel, backendName });
    }
  }
}
