import {
  Conv2DBackpropFilter,
  Conv2DBackpropInput,
  Conv3DBackpropInputV2,
  DepthwiseConv2dNativeBackpropFilter,
  DepthwiseConv2dNativeBackpropInput,
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
import { type KernelCall, type KernelInputs, nativeName, type RepairedKernel } from './definition.ts';

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

/** wasm starts the maximum at the smallest positive number: windows of negative values give that. */
function maximumOverTaps({ inputs: { x }, attrs }: KernelCall): Tensor {
  const axes = poolAxes3d(x.shape, attrs);
  const covered = padToWindows(x, axes, Number.NEGATIVE_INFINITY);
  return tapIndices(axes)
    .map((tap) => tapValues(covered, axes, tap))
    .reduce((most, values) => maximum(most, values));
}

/** Repairs of what backward passes call, and of pooling in three dimensions, which is put together like them. */
export const repairedWindows: RepairedKernel[] = [
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
