import {
  AddN,
  add,
  BatchMatMul,
  broadcast_util,
  broadcastTo,
  Conv2DBackpropFilter,
  Conv2DBackpropInput,
  Conv3DBackpropInputV2,
  Cumprod,
  Cumsum,
  DepthwiseConv2dNativeBackpropFilter,
  DepthwiseConv2dNativeBackpropInput,
  Einsum,
  type Tensor,
  type Tensor4D,
  util,
} from '@tensorflow/tfjs-core';
import { convolution, convolutionFilterGradient, convolutionInputGradient } from '../gradients/convolution.ts';
import { convolution3d, convolution3dInputByTaps } from '../gradients/convolution3d.ts';
import { depthwise, depthwiseFilterByTaps, depthwiseInputByTaps } from '../gradients/depthwise.ts';
import type { KernelCall, KernelInputs, RepairedKernel } from './definition.ts';
import { composedEinsum } from './einsum.ts';

const nativeName = 'tensorflow';

const batchOf = ({ shape }: Tensor): number[] => shape.slice(0, -2);

/** The kernels count batches modulo each side's number, which is right for equal batches and for a single one only. */
function mixesBatches({ inputs: { a, b } }: KernelInputs): boolean {
  const [left, right] = [batchOf(a), batchOf(b)];
  const isSingle = [left, right].some((batch) => util.sizeFromShape(batch) === 1);
  return !isSingle && !util.arraysEqual(left, right);
}

function matMulOfEqualBatches({ inputs: { a, b }, original }: KernelCall): Tensor {
  const batch = broadcast_util.assertAndGetBroadcastShape(batchOf(a), batchOf(b));
  const whole = (x: Tensor): Tensor => broadcastTo(x, [...batch, ...x.shape.slice(-2)]);
  return original({ inputs: { a: whole(a), b: whole(b) } });
}

/** Native TensorFlow's kernels take padding by name alone, although its convolution takes numbers. */
const isPaddedByNumbers = ({ attrs }: KernelInputs): boolean => typeof attrs.pad !== 'string' && attrs.pad !== 0;

function filterGradient({ inputs: { x, dy }, attrs }: KernelCall): Tensor {
  return convolutionFilterGradient(
    x as Tensor4D,
    dy as Tensor4D,
    convolution(x.shape, attrs.filterShape as number[], attrs),
  );
}

function inputGradient({ inputs: { dy, filter }, attrs }: KernelCall): Tensor {
  return convolutionInputGradient(
    dy as Tensor4D,
    filter,
    convolution(attrs.inputShape as number[], filter.shape, attrs),
  );
}

/** The kernels of cpu, wasm and WebGPU misread a negative axis. */
const countsFromTheEnd = ({ attrs }: KernelInputs): boolean => (attrs.axis as number) < 0;

function withPositiveAxis({ inputs, attrs, original }: KernelCall): Tensor {
  return original({ attrs: { ...attrs, axis: inputs.x.rank + (attrs.axis as number) } });
}

/** Storage buffers that a WebGPU device has by default, less the one for the result. */
const mostAddends = 7;

const everywhereButNative = ['cpu', 'wasm', 'webgpu'] as const;

/** Repairs of sums, products and convolutions. */
export const repairedLinear: RepairedKernel[] = [
  {
    // Missing on wasm; on cpu and WebGPU it multiplies with all labels at once, and throws where one is only in one term.
    kernel: Einsum,
    backends: everywhereButNative,
    run: ({ inputs, attrs }) => composedEinsum(attrs.equation as string, Object.values(inputs)),
  },
  { kernel: BatchMatMul, backends: everywhereButNative, applies: mixesBatches, run: matMulOfEqualBatches },
  {
    // A WebGPU device has too few bindings for more, and says so only to the console.
    kernel: AddN,
    backends: ['webgpu'],
    applies: ({ inputs }) => Object.keys(inputs).length > mostAddends,
    run: ({ inputs }) => Object.values(inputs).reduce((total, x) => add(total, x)),
  },
  { kernel: Cumsum, backends: everywhereButNative, applies: countsFromTheEnd, run: withPositiveAxis },
  { kernel: Cumprod, backends: everywhereButNative, applies: countsFromTheEnd, run: withPositiveAxis },
  { kernel: Conv2DBackpropFilter, backends: ['wasm'], run: filterGradient },
  { kernel: Conv2DBackpropFilter, backends: [nativeName], applies: isPaddedByNumbers, run: filterGradient },
  { kernel: Conv2DBackpropInput, backends: [nativeName], applies: isPaddedByNumbers, run: inputGradient },
  {
    kernel: DepthwiseConv2dNativeBackpropInput,
    backends: ['wasm'],
    run: ({ inputs: { dy, filter }, attrs }) =>
      depthwiseInputByTaps(dy, filter, depthwise(attrs.inputShape as number[], filter.shape, attrs)),
  },
  {
    kernel: DepthwiseConv2dNativeBackpropFilter,
    backends: ['wasm'],
    run: ({ inputs: { x, dy }, attrs }) =>
      depthwiseFilterByTaps(x, dy, depthwise(x.shape, attrs.filterShape as number[], attrs)),
  },
  {
    kernel: Conv3DBackpropInputV2,
    backends: ['wasm'],
    run: ({ inputs: { dy, filter }, attrs }) =>
      convolution3dInputByTaps(dy, filter, convolution3d(attrs.inputShape as number[], filter.shape, attrs)),
  },
];
