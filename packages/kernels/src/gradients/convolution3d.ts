import {
  backend_util,
  Conv3D,
  Conv3DBackpropFilterV2,
  Conv3DBackpropInputV2,
  concat,
  conv3d,
  engine,
  getBackend,
  matMul,
  reshape,
  slice,
  type Tensor,
  type Tensor5D,
  tidy,
} from '@tensorflow/tfjs-core';
import { isRecording } from '../ops/fused-kernel.ts';
import type { GradientContext, KernelGradient } from './definition.ts';
import { hasKernel } from './definition.ts';
import {
  padToWindows,
  placeTap,
  spreadByStride,
  sumOf,
  tapIndices,
  tapValues,
  unpadFromWindows,
  type WindowAxis,
} from './windows.ts';

export interface Convolution3d {
  /** Depth, rows and columns. */
  axes: WindowAxis[];
  padding: 'same' | 'valid' | undefined;
  inChannels: number;
  outChannels: number;
}

/** The geometry of a three-dimensional convolution from its attributes. */
export function convolution3d(xShape: number[], filterShape: number[], attrs: GradientContext['attrs']): Convolution3d {
  if (attrs.dataFormat === 'NCDHW') {
    throw new Error('kernels: gradients of a three-dimensional convolution are for NDHWC; got NCDHW; transpose first');
  }
  const info = backend_util.computeConv3DInfo(
    xShape as [number, number, number, number, number],
    filterShape as [number, number, number, number, number],
    attrs.strides as [number, number, number],
    (attrs.dilations ?? 1) as [number, number, number],
    attrs.pad as 'same',
  );
  const { front, top, left, type } = info.padInfo;
  const depth = { stride: info.strideDepth, dilation: info.dilationDepth, taps: info.filterDepth, before: front };
  const rows = { stride: info.strideHeight, dilation: info.dilationHeight, taps: info.filterHeight, before: top };
  const columns = { stride: info.strideWidth, dilation: info.dilationWidth, taps: info.filterWidth, before: left };
  return {
    axes: [
      { ...depth, input: info.inDepth, output: info.outDepth },
      { ...rows, input: info.inHeight, output: info.outHeight },
      { ...columns, input: info.inWidth, output: info.outWidth },
    ],
    padding: type === 'SAME' ? 'same' : type === 'VALID' ? 'valid' : undefined,
    inChannels: filterShape[3],
    outChannels: filterShape[4],
  };
}

/** The kernels know no dilation, those of wasm give wrong answers, and an outer tape needs what has gradients. */
function usesKernel(kernel: string, { axes, padding }: Convolution3d): boolean {
  if (!hasKernel(kernel) || getBackend() === 'wasm' || padding === undefined || isRecording()) return false;
  return axes.every(({ dilation }) => dilation === 1);
}

const stridesOf = (axes: readonly WindowAxis[]): number[] => axes.map(({ stride }) => stride);

/** Gradient by the input of a three-dimensional convolution, one matrix product per tap. */
export function convolution3dInputByTaps(dy: Tensor, filter: Tensor, geometry: Convolution3d): Tensor {
  const { axes, inChannels, outChannels } = geometry;
  const rows = reshape(dy, [-1, outChannels]);
  const gradient = sumOf(tapIndices(axes), (tap) => {
    const weights = slice(filter, [...tap, 0, 0], [1, 1, 1, inChannels, outChannels]);
    const given = matMul(rows, reshape(weights, [inChannels, outChannels]), false, true);
    return placeTap(spreadByStride(reshape(given, [...dy.shape.slice(0, -1), inChannels]), axes), axes, tap);
  });
  return unpadFromWindows(gradient, axes);
}

function inputGradient(dy: Tensor, filter: Tensor, inputShape: number[], geometry: Convolution3d): Tensor {
  if (!usesKernel(Conv3DBackpropInputV2, geometry)) return convolution3dInputByTaps(dy, filter, geometry);
  const attrs = { strides: stridesOf(geometry.axes), pad: geometry.padding as string, inputShape };
  return engine().runKernel(Conv3DBackpropInputV2, { dy, filter }, attrs) as Tensor;
}

function filterGradientByTaps(x: Tensor, dy: Tensor, { axes, inChannels, outChannels }: Convolution3d): Tensor {
  const covered = padToWindows(x, axes);
  const rows = reshape(dy, [-1, outChannels]);
  const taps = tapIndices(axes).map((tap) =>
    tidy(() => matMul(reshape(tapValues(covered, axes, tap), [-1, inChannels]), rows, true, false)),
  );
  return reshape(concat(taps, 0), [...axes.map((axis) => axis.taps), inChannels, outChannels]);
}

function filterGradient(x: Tensor, dy: Tensor, geometry: Convolution3d): Tensor {
  if (!usesKernel(Conv3DBackpropFilterV2, geometry)) return filterGradientByTaps(x, dy, geometry);
  const { axes, inChannels, outChannels, padding } = geometry;
  const filterShape = [...axes.map((axis) => axis.taps), inChannels, outChannels];
  const attrs = { strides: stridesOf(axes), pad: padding as string, filterShape };
  return engine().runKernel(Conv3DBackpropFilterV2, { x, dy }, attrs) as Tensor;
}

function transposedByDy({ dy: ddx, saved: { filter }, inputs, attrs }: GradientContext): Tensor {
  const { axes, padding } = convolution3d(ddx.shape, filter.shape, attrs);
  const strides = stridesOf(axes) as [number, number, number];
  return reshape(conv3d(ddx as Tensor5D, filter as Tensor5D, strides, padding ?? 'valid'), inputs.dy.shape);
}

/** Three-dimensional convolution with any stride and dilation, and its transpose. */
export const convolution3dGradients: KernelGradient[] = [
  {
    kernel: Conv3D,
    inputs: {
      x: {
        reads: ['filter'],
        gradient: ({ dy, saved: { filter }, inputs: { x }, attrs }) =>
          inputGradient(dy, filter, x.shape, convolution3d(x.shape, filter.shape, attrs)),
      },
      filter: {
        reads: ['x'],
        gradient: ({ dy, saved: { x }, inputs: { filter }, attrs }) =>
          filterGradient(x, dy, convolution3d(x.shape, filter.shape, attrs)),
      },
    },
  },
  {
    kernel: Conv3DBackpropInputV2,
    inputs: {
      dy: { reads: ['filter'], gradient: transposedByDy },
      filter: {
        reads: ['dy'],
        gradient: ({ dy: ddx, saved: { dy }, inputs: { filter }, attrs }) =>
          filterGradient(ddx, dy, convolution3d(ddx.shape, filter.shape, attrs)),
      },
    },
  },
];
