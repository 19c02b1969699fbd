import {
  backend_util,
  concat,
  DepthwiseConv2dNative,
  DepthwiseConv2dNativeBackpropFilter,
  DepthwiseConv2dNativeBackpropInput,
  engine,
  mul,
  reshape,
  slice,
  sum,
  type Tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { isRecording } from '../ops/fused-kernel.ts';
import type { GradientContext, KernelGradient } from './definition.ts';
import { hasKernel } from './definition.ts';
import {
  coveredLength,
  padToWindows,
  placeTap,
  spreadByStride,
  sumOf,
  tapIndices,
  tapValues,
  unpadFromWindows,
  type WindowAxis,
} from './windows.ts';

/** A depthwise convolution in NHWC. */
export interface Depthwise {
  axes: WindowAxis[];
  padding: 'same' | 'valid' | undefined;
  channels: number;
  /** Output channels per input channel. */
  multiplier: number;
}

/** The geometry of a depthwise convolution from its attributes. */
export function depthwise(xShape: number[], filterShape: number[], attrs: GradientContext['attrs']): Depthwise {
  if (attrs.dataFormat === 'NCHW') {
    throw new Error('kernels: gradients of a depthwise convolution are for NHWC; got NCHW; transpose first');
  }
  const info = backend_util.computeConv2DInfo(
    xShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    attrs.strides as [number, number],
    (attrs.dilations ?? 1) as [number, number],
    attrs.pad as 'same',
    attrs.dimRoundingMode as 'floor',
    true,
  );
  const { top, left, type } = info.padInfo;
  const rows = { stride: info.strideHeight, dilation: info.dilationHeight, taps: info.filterHeight, before: top };
  const columns = { stride: info.strideWidth, dilation: info.dilationWidth, taps: info.filterWidth, before: left };
  return {
    axes: [
      { ...rows, input: info.inHeight, output: info.outHeight },
      { ...columns, input: info.inWidth, output: info.outWidth },
    ],
    padding: type === 'SAME' ? 'same' : type === 'VALID' ? 'valid' : undefined,
    channels: info.inChannels,
    multiplier: filterShape[3],
  };
}

/** wasm has none of these kernels, only native TensorFlow's know dilation, and an outer tape needs what has gradients. */
function usesKernel(kernel: string, { axes }: Depthwise): boolean {
  return hasKernel(kernel) && !isRecording() && axes.every(({ dilation }) => dilation === 1);
}

function kernelAttrs({ axes, padding }: Depthwise): Record<string, number[] | string> {
  return { strides: axes.map(({ stride }) => stride), dilations: [1, 1], pad: padding ?? 'valid' };
}

/** Gradient by the input, tap by tap. @shape dy [B, oh, ow, C * M], filter [kh, kw, C, M] -> [B, h, w, C] */
export function depthwiseInputByTaps(dy: Tensor, filter: Tensor, { axes, channels, multiplier }: Depthwise): Tensor {
  const spread = spreadByStride(dy, axes);
  const [batch, height, width] = spread.shape;
  const perChannel = reshape(spread, [batch, height, width, channels, multiplier]);
  const gradient = sumOf(tapIndices(axes), (tap) => {
    const weights = slice(filter, [...tap, 0, 0], [1, 1, channels, multiplier]);
    if (multiplier === 1) return placeTap(mul(spread, reshape(weights, [channels])), axes, tap);
    return placeTap(sum(mul(perChannel, reshape(weights, [channels, multiplier])), 4), axes, tap);
  });
  return unpadFromWindows(gradient, axes);
}

/** Gradient by the filter, tap by tap. @shape x [B, h, w, C], dy [B, oh, ow, C * M] -> [kh, kw, C, M] */
export function depthwiseFilterByTaps(x: Tensor, dy: Tensor, { axes, channels, multiplier }: Depthwise): Tensor {
  const covered = padToWindows(x, axes);
  const positions = dy.size / (channels * multiplier);
  const rows = reshape(dy, [positions, channels, multiplier]);
  const taps = tapIndices(axes).map((tap) =>
    tidy(() => {
      const seen = reshape(tapValues(covered, axes, tap), [positions, channels, 1]);
      return reshape(sum(mul(seen, rows), 0), [1, channels, multiplier]);
    }),
  );
  return reshape(concat(taps, 0), [axes[0].taps, axes[1].taps, channels, multiplier]);
}

function byInput({ dy, saved: { filter }, inputs, attrs }: GradientContext): Tensor {
  const { shape } = inputs.x;
  const geometry = depthwise(shape, filter.shape, attrs);
  const { axes, padding } = geometry;
  if (!usesKernel(DepthwiseConv2dNativeBackpropInput, geometry)) return depthwiseInputByTaps(dy, filter, geometry);
  const inputShape = padding === undefined ? [shape[0], ...axes.map(coveredLength), shape[3]] : shape;
  const all = { ...kernelAttrs(geometry), inputShape };
  const gradient = engine().runKernel(DepthwiseConv2dNativeBackpropInput, { dy, filter }, all) as Tensor;
  return padding === undefined ? unpadFromWindows(gradient, axes) : gradient;
}

function byFilter({ dy, saved: { x }, inputs, attrs }: GradientContext): Tensor {
  const { shape } = inputs.filter;
  const geometry = depthwise(x.shape, shape, attrs);
  if (!usesKernel(DepthwiseConv2dNativeBackpropFilter, geometry)) return depthwiseFilterByTaps(x, dy, geometry);
  const seen = geometry.padding === undefined ? padToWindows(x, geometry.axes) : x;
  const all = { ...kernelAttrs(geometry), filterShape: shape };
  return engine().runKernel(DepthwiseConv2dNativeBackpropFilter, { x: seen, dy }, all) as Tensor;
}

/** Depthwise convolution with any stride, dilation, padding and channel multiplier. */
export const depthwiseGradients: KernelGradient[] = [
  {
    kernel: DepthwiseConv2dNative,
    inputs: { x: { reads: ['filter'], gradient: byInput }, filter: { reads: ['x'], gradient: byFilter } },
  },
];
