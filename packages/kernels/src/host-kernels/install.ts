import { getKernel, getKernelsForBackend, type KernelConfig, registerKernel } from '@tensorflow/tfjs-core';
import { deformableAttentionKernels } from './deformable-attention.ts';
import { wasmDeformableAttentionKernels } from './deformable-attention-wasm.ts';

type Kernel = Pick<KernelConfig, 'kernelName' | 'kernelFunc'>;

const KERNELS: Readonly<Record<string, readonly Kernel[]>> = {
  cpu: deformableAttentionKernels,
  wasm: wasmDeformableAttentionKernels,
};

/** Gives the loaded backends whose memory is the host's, cpu and wasm, those kernels of ours that are loops over it. Idempotent. */
export function registerHostKernels(): void {
  for (const [backendName, kernels] of Object.entries(KERNELS)) {
    if (getKernelsForBackend(backendName).length === 0) continue;
    for (const kernel of kernels) {
      if (getKernel(kernel.kernelName, backendName) === undefined) registerKernel({ ...kernel, backendName });
    }
  }
}
