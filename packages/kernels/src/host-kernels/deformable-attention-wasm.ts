import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';
import { deformableAttentionKernels } from './deformable-attention.ts';
import { MODULE } from './deformable-attention-module.ts';
import { hostMemory } from './memory.ts';
import { addressOf, wasmExports } from './wasm-module.ts';

type Inputs = Record<string, TensorInfo>;
type Run = (...addressesAndCounts: number[]) => void;

/** B, S, N, K, L, P, G */
function countsOf({ value, weights, sizes }: Inputs): number[] {
  const [, queries, , points] = weights.shape;
  return [...value.shape, queries, points, sizes.shape[0]];
}

/** Runs the module's function, or plain loops where there is none. */
const orLoops = (name: 'forward' | 'backward', run: (call: Run, inputs: Inputs) => TensorInfo | TensorInfo[]) => {
  const loops = deformableAttentionKernels[name === 'forward' ? 0 : 1];
  const kernelFunc: KernelConfig['kernelFunc'] = (params) => {
    const call = wasmExports(MODULE)?.[name] as Run | undefined;
    return call === undefined ? loops.kernelFunc(params) : run(call, params.inputs as Inputs);
  };
  return { kernelName: loops.kernelName, kernelFunc };
};

const inOrder = ({ value, sizes, locations, weights }: Inputs): TensorInfo[] => [value, sizes, locations, weights];

/** Deformable attention as a WebAssembly module over the backend's own memory. */
export const wasmDeformableAttentionKernels = [
  orLoops('forward', (call, inputs) => {
    const { value, weights } = inputs;
    const out = hostMemory().output([value.shape[0], weights.shape[1], value.shape[2] * value.shape[3]]);
    call(...[...inOrder(inputs), out].map(addressOf), ...countsOf(inputs));
    return out;
  }),
  orLoops('backward', (call, inputs) => {
    const { value, locations, weights, dy } = inputs;
    const memory = hostMemory();
    const results = [value, locations, weights].map(({ shape }) => memory.output(shape));
    call(...[...inOrder(inputs), dy, ...results].map(addressOf), ...countsOf(inputs));
    return results;
  }),
];
