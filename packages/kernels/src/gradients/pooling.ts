import {
  AvgPool,
  AvgPool3D,
  backend_util,
  div,
  engine,
  equal,
  getBackend,
  keep,
  logicalAnd,
  logicalNot,
  logicalOr,
  MaxPool,
  MaxPool3D,
  MaxPool3DGrad,
  MaxPoolGrad,
  type NamedAttrMap,
  pad,
  type Tensor,
  tensor,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { isRecording } from '../ops/fused-kernel.ts';
import type { GradientContext, KernelGradient } from './definition.ts';
import { hasKernel } from './definition.ts';
import {
  coveredLength,
  padToWindows,
  placeTap,
  spreadAxis,
  spreadByStride,
  sumOf,
  tapIndices,
  tapValues,
  unpadFromWindows,
  type WindowAxis,
} from './windows.ts';

type Attrs = GradientContext['attrs'];

function poolAxes2d(shape: number[], attrs: Attrs): WindowAxis[] {
  const info = backend_util.computePool2DInfo(
    shape as [number, number, number, number],
    attrs.filterSize as [number, number],
    attrs.strides as [number, number],
    1,
    attrs.pad as 'same',
    attrs.dimRoundingMode as 'floor',
  );
  const { top, left } = info.padInfo;
  return [
    {
      input: info.inHeight,
      output: info.outHeight,
      taps: info.filterHeight,
      stride: info.strideHeight,
      dilation: 1,
      before: top,
    },
    {
      input: info.inWidth,
      output: info.outWidth,
      taps: info.filterWidth,
      stride: info.strideWidth,
      dilation: 1,
      before: left,
    },
  ];
}

/** The geometry of a three-dimensional pooling from its attributes. */
export function poolAxes3d(shape: number[], attrs: Attrs): WindowAxis[] {
  if (attrs.dataFormat === 'NCDHW') {
    throw new Error('kernels: gradients of three-dimensional pooling are for NDHWC; got NCDHW; transpose first');
  }
  const info = backend_util.computePool3DInfo(
    shape as [number, number, number, number, number],
    attrs.filterSize as [number, number, number],
    attrs.strides as [number, number, number],
    1,
    attrs.pad as 'same',
    attrs.dimRoundingMode as 'floor',
  );
  const { front, top, left } = info.padInfo;
  return [
    {
      input: info.inDepth,
      output: info.outDepth,
      taps: info.filterDepth,
      stride: info.strideDepth,
      dilation: 1,
      before: front,
    },
    {
      input: info.inHeight,
      output: info.outHeight,
      taps: info.filterHeight,
      stride: info.strideHeight,
      dilation: 1,
      before: top,
    },
    {
      input: info.inWidth,
      output: info.outWidth,
      taps: info.filterWidth,
      stride: info.strideWidth,
      dilation: 1,
      before: left,
    },
  ];
}

/** How many taps of each window lie on the input and not on padding. */
function tapsInside({ input, output, taps, stride, before }: WindowAxis): number[] {
  return Array.from({ length: output }, (_, at) => {
    const first = at * stride - before;
    return Math.min(first + taps, input) - Math.max(first, 0);
  });
}

/** Shares dy among the inputs that each mean was taken over; padding is not counted, as in the forward pass. */
function averaged(dy: Tensor, axes: WindowAxis[]): Tensor {
  let gradient = dy;
  axes.forEach((axis, i) => {
    const shape = dy.shape.map((_, dimension) => (dimension === i + 1 ? axis.output : 1));
    gradient = div(gradient, tensor(tapsInside(axis), shape));
  });
  // A window of means is a product of one-dimensional ones, so each axis is spread on its own.
  axes.forEach((axis, i) => {
    const spread = spreadAxis(gradient, i + 1, axis.stride);
    const behind = coveredLength(axis) - spread.shape[i + 1];
    const taps = Array.from({ length: axis.taps }, (_, tap) => tap);
    gradient = sumOf(taps, (tap) =>
      pad(
        spread,
        spread.shape.map((__, dimension): [number, number] => (dimension === i + 1 ? [tap, behind - tap] : [0, 0])),
      ),
    );
  });
  return unpadFromWindows(gradient, axes);
}

/** Gives dy to the first tap of each window that holds the maximum. */
function toMaximum(dy: Tensor, x: Tensor, y: Tensor, axes: WindowAxis[]): Tensor {
  const covered = padToWindows(x, axes, Number.NEGATIVE_INFINITY);
  const nothing = zerosLike(dy);
  let found: Tensor | undefined;
  const gradient = sumOf(tapIndices(axes), (tap) => {
    const isMaximum = equal(tapValues(covered, axes, tap), y);
    const before = found;
    // Kept from the tidy of this tap for the next.
    found = keep(before === undefined ? isMaximum.clone() : logicalOr(before, isMaximum));
    const isFirst = before === undefined ? isMaximum : logicalAnd(isMaximum, logicalNot(before));
    before?.dispose();
    return placeTap(spreadByStride(where(isFirst, dy, nothing), axes), axes, tap);
  });
  found?.dispose();
  return unpadFromWindows(gradient, axes);
}

/** The kernel of wasm picks wrong elements where windows overlap; an outer tape needs what has gradients. */
const usesKernel = (kernel: string): boolean => hasKernel(kernel) && getBackend() !== 'wasm' && !isRecording();

function maximum(kernel: string, axesOf: typeof poolAxes2d): (context: GradientContext) => Tensor {
  return ({ dy, saved: { x, output }, attrs }) =>
    usesKernel(kernel)
      ? (engine().runKernel(kernel, { dy, input: x, output }, attrs as NamedAttrMap) as Tensor)
      : toMaximum(dy, x, output, axesOf(x.shape, attrs));
}

/** Pooling over two and three dimensions. */
export const poolingGradients: KernelGradient[] = [
  {
    kernel: AvgPool,
    inputs: { x: { gradient: ({ dy, inputs, attrs }) => averaged(dy, poolAxes2d(inputs.x.shape, attrs)) } },
  },
  {
    kernel: AvgPool3D,
    inputs: { x: { gradient: ({ dy, inputs, attrs }) => averaged(dy, poolAxes3d(inputs.x.shape, attrs)) } },
  },
  { kernel: MaxPool, inputs: { x: { reads: ['x', 'output'], gradient: maximum(MaxPoolGrad, poolAxes2d) } } },
  { kernel: MaxPool3D, inputs: { x: { reads: ['x', 'output'], gradient: maximum(MaxPool3DGrad, poolAxes3d) } } },
];
