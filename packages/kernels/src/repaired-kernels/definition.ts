import type { Tensor } from '@tensorflow/tfjs-core';

/** Native TensorFlow's name in TensorFlow.js. */
export const nativeName = 'tensorflow';

/** The backends whose kernels are TensorFlow.js's own. */
export const everywhereButNative = ['cpu', 'wasm', 'webgpu'] as const;

export interface KernelInputs {
  inputs: Record<string, Tensor>;
  attrs: Record<string, unknown>;
}

export interface KernelCall extends KernelInputs {
  /** Runs the backend's own kernel, on these inputs and attributes or on others. */
  original: (changed?: Partial<KernelInputs>) => Tensor;
}

/** A kernel that a backend lacks or has wrong, put together from operations that every backend has. */
export interface RepairedKernel {
  kernel: string;
  /** TensorFlow.js's names of the backends that get it. */
  backends: readonly string[];
  /** Which calls the backend's own kernel gets wrong; by default all. */
  applies?: (call: KernelInputs) => boolean;
  run: (call: KernelCall) => Tensor;
}
