import {
  engine,
  getKernel,
  getKernelsForBackend,
  type KernelConfig,
  type NamedAttrMap,
  registerKernel,
  Tensor,
  type TensorInfo,
  tidy,
  unregisterKernel,
} from '@tensorflow/tfjs-core';
import { repairedConvolutions } from './convolutions.ts';
import type { KernelInputs, RepairedKernel } from './definition.ts';
import { repairedElementwise } from './elementwise.ts';
import { repairedFusedMatMul } from './fused-matmul.ts';
import { repairedIndexing } from './indexing.ts';
import { repairedLinear } from './linear.ts';
import { repairedMatMul } from './matmul.ts';
import { repairedSlice } from './wasm-slice.ts';

/** Those that an inference needs. */
export const repairedForward: readonly RepairedKernel[] = [
  ...repairedElementwise,
  ...repairedIndexing,
  ...repairedLinear,
  ...repairedMatMul,
  ...repairedFusedMatMul,
  ...repairedConvolutions,
  ...repairedSlice,
];

// Symbol.for: a second copy of this package must not repair a repaired kernel.
const repairedKey = Symbol.for('@rass/kernels repaired kernel');

type MaybeRepaired = KernelConfig & { [repairedKey]?: true };

function asTensor(result: TensorInfo | TensorInfo[]): Tensor {
  const single = Array.isArray(result) ? result[0] : result;
  return single instanceof Tensor ? single : engine().makeTensorFromTensorInfo(single);
}

function repaired(
  { kernel, applies, run }: RepairedKernel,
  backendName: string,
  own: KernelConfig | undefined,
): MaybeRepaired {
  const kernelFunc: KernelConfig['kernelFunc'] = (params) => {
    const call = { inputs: params.inputs, attrs: params.attrs ?? {} } as unknown as KernelInputs;
    if (own !== undefined && applies?.(call) === false) return own.kernelFunc(params);
    const original = (changed: Partial<KernelInputs> = {}): Tensor => {
      if (own === undefined) throw new Error(`kernels: ${backendName} has no ${kernel} of its own`);
      const { inputs, attrs } = { ...call, ...changed };
      return asTensor(own.kernelFunc({ inputs, attrs: attrs as NamedAttrMap, backend: params.backend }));
    };
    return tidy(() => run({ ...call, original }));
  };
  return { ...own, kernelName: kernel, backendName, kernelFunc, [repairedKey]: true };
}

/** Puts kernels into the loaded backends, each once. */
export function register(repairs: readonly RepairedKernel[]): void {
  for (const repair of repairs) {
    for (const backendName of repair.backends) {
      if (getKernelsForBackend(backendName).length === 0) continue;
      const own = getKernel(repair.kernel, backendName) as MaybeRepaired | undefined;
      if (own?.[repairedKey]) continue;
      const replacement = repaired(repair, backendName, own);
      if (own !== undefined) unregisterKernel(repair.kernel, backendName);
      registerKernel(replacement);
    }
  }
}
