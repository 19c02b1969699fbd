import { AddN, add, Einsum } from '@tensorflow/tfjs-core';
import { everywhereButNative, type RepairedKernel } from './definition.ts';
import { composedEinsum } from './einsum.ts';

/** Storage buffers that a WebGPU device has by default, less the one for the result. */
const mostAddends = 7;

/** Repairs of sums and products. */
export const repairedLinear: RepairedKernel[] = [
  {
    // Missing on wasm; on cpu and WebGPU it multiplies with all labels at once, and throws where one is only in one term.
    kernel: Einsum,
    backends: everywhereButNative,
    run: ({ inputs, attrs }) => composedEinsum(attrs.equation as string, Object.values(inputs)),
  },
  {
    // A WebGPU device has too few bindings for more, and says so only to the console.
    kernel: AddN,
    backends: ['webgpu'],
    applies: ({ inputs }) => Object.keys(inputs).length > mostAddends,
    run: ({ inputs }) => Object.values(inputs).reduce((total, x) => add(total, x)),
  },
];
