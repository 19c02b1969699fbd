import { getKernel, type KernelConfig, registerKernel, type TensorInfo, unregisterKernel } from '@tensorflow/tfjs-core';

export type KernelCall = Parameters<KernelConfig['kernelFunc']>[0];

// Symbol.for: a second copy of this package must not wrap a wrapped kernel.
const wrappedKey = Symbol.for('@rass/kernels wrapped kernel');

/** Puts a kernel of ours before TensorFlow.js's of the same name, which still computes what ours leaves to it by returning
 * undefined. Idempotent; does nothing where the backend has no such kernel. */
export function wrapKernel(
  kernelName: string,
  backendName: string,
  own: (call: KernelCall) => TensorInfo | undefined,
): void {
  const stock = getKernel(kernelName, backendName) as (KernelConfig & { [wrappedKey]?: true }) | undefined;
  if (stock === undefined || stock[wrappedKey]) return;
  unregisterKernel(kernelName, backendName);
  const kernelFunc: KernelConfig['kernelFunc'] = (call) => own(call) ?? stock.kernelFunc(call);
  registerKernel({ ...stock, kernelFunc, [wrappedKey]: true } as KernelConfig);
}
