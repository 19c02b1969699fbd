import {
  AddN,
  add,
  Conv2DBackpropFilter,
  Conv2DBackpropInput,
  Conv3DBackpropInputV2,
  DepthwiseConv2dNativeBackpropFilter,
  DepthwiseConv2dNativeBackpropInput,
  Einsum,
  MaxPool3D,
  maximum,
  type Tensor,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import { convolution, convolutionFilterGradient, convolutionInputGradient } from '../gradients/convolution.ts';
import { convolution3d, convolution3dInputByTaps } from '../gradients/convolution3d.ts';
import { depthwise, depthwiseFilterByTaps, depthwiseInputByTaps } from '../gradients/depthwise.ts';
import { poolAxes3d } from '../gradients/pooling.ts';
import { padToWindows, tapIndices, tapValues } from '../gradients/windows.ts';
import {
  everywhereButNative,
  type KernelCall,
  type KernelInputs,
  nativeName,
  type RepairedKernel,
} from './definition.ts';
import { composedEinsum } from './einsum.ts';

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

/** Storage buffers that a WebGPU device has by default, less the one for the result. */
const mostAddends = 7;

/** wasm starts the maximum at the smallest positive number: windows of negative values give that. */
function maximumOverTaps({ inputs: { x }, attrs }: KernelCall): Tensor {
  const axes = poolAxes3d(x.shape, attrs);
  const covered = padToWindows(x, axes, Number.NEGATIVE_INFINITY);
  return tapIndices(axes)
    .map((tap) => tapValues(covered, axes, tap))
    .reduce((most, values) => maximum(most, values));
}

/** Repairs of sums, products, convolutions and pooling. */
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
  { kernel: Conv2DBackpropFilter, backends: ['wasm'], run: filterGradient },
  { kernel: Conv2DBackpropFilter, backends: [nativeName], applies: isPaddedByNumbers, run: filterGradient },
  { kernel: Conv2DBackpropInput, backends: [nativeName], applies: isPaddedByNumbers, run: inputGradient },
  { kernel: MaxPool3D, backends: ['wasm'], run: maximumOverTaps },
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
