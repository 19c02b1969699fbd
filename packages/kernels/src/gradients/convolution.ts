import {
  backend_util,
  Conv2D,
  Conv2DBackpropFilter,
  Conv2DBackpropInput,
  concat,
  conv2d,
  engine,
  getBackend,
  matMul,
  type NamedAttrMap,
  reshape,
  reverse,
  type Tensor,
  type Tensor4D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { isRecording } from '../ops/fused-kernel.ts';
import type { GradientContext, KernelGradient } from './definition.ts';
import { hasKernel } from './definition.ts';
import { coveredLength, padToWindows, tapIndices, tapValues, unpadFromWindows, type WindowAxis } from './windows.ts';

type ConvolutionAttrs = Pick<GradientContext, 'attrs'>['attrs'];

/** A two-dimensional convolution, after everything has been brought to NHWC. */
export interface Convolution {
  /** Rows and columns. */
  axes: WindowAxis[];
  /** The padding by name where the kernels can be given it so. */
  padding: 'same' | 'valid' | undefined;
  batch: number;
  inChannels: number;
  outChannels: number;
}

/** The geometry of a convolution from its attributes. @shape x in the attributes' data format, filter [h, w, in, out] */
export function convolution(xShape: number[], filterShape: number[], attrs: ConvolutionAttrs): Convolution {
  const { strides, pad, dataFormat = 'NHWC', dilations = 1, dimRoundingMode } = attrs;
  const info = backend_util.computeConv2DInfo(
    xShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    strides as [number, number],
    dilations as [number, number],
    pad as 'same',
    dimRoundingMode as 'floor',
    false,
    backend_util.convertConv2DDataFormat(dataFormat as 'NHWC'),
  );
  const { type } = info.padInfo;
  return {
    axes: [
      {
        input: info.inHeight,
        output: info.outHeight,
        taps: info.filterHeight,
        stride: info.strideHeight,
        dilation: info.dilationHeight,
        before: info.padInfo.top,
      },
      {
        input: info.inWidth,
        output: info.outWidth,
        taps: info.filterWidth,
        stride: info.strideWidth,
        dilation: info.dilationWidth,
        before: info.padInfo.left,
      },
    ],
    padding: type === 'SAME' ? 'same' : type === 'VALID' ? 'valid' : undefined,
    batch: info.batchSize,
    inChannels: info.inChannels,
    outChannels: info.outChannels,
  };
}

const toNHWC = (x: Tensor, format: unknown): Tensor4D =>
  (format === 'NCHW' ? transpose(x, [0, 2, 3, 1]) : x) as Tensor4D;

const fromNHWC = (x: Tensor, format: unknown): Tensor => (format === 'NCHW' ? transpose(x, [0, 3, 1, 2]) : x);

const isPointwise = (axes: readonly WindowAxis[]): boolean =>
  axes.every(
    ({ taps, stride, before, input, output }) => taps === 1 && stride === 1 && before === 0 && input === output,
  );

const stridesOf = (axes: readonly WindowAxis[]): [number, number] => [axes[0].stride, axes[1].stride];

function runKernel(kernel: string, inputs: Record<string, Tensor>, attrs: NamedAttrMap): Tensor {
  return engine().runKernel(kernel, inputs, attrs) as Tensor;
}

/** The same windows over an input that has been padded beforehand. */
function padded(axes: readonly WindowAxis[]): WindowAxis[] {
  return axes.map((axis) => ({ ...axis, before: 0, input: coveredLength(axis) }));
}

/** Convolution of dy with the turned filter. Only for stride 1. */
function inputGradientByConvolution(dy: Tensor4D, filter: Tensor, axes: readonly WindowAxis[]): Tensor {
  const backward = axes.map((axis) => ({
    ...axis,
    input: axis.output,
    output: axis.input,
    before: (axis.taps - 1) * axis.dilation - axis.before,
  }));
  const turned = transpose(reverse(filter, [0, 1]), [0, 1, 3, 2]) as Tensor4D;
  const dilations: [number, number] = [axes[0].dilation, axes[1].dilation];
  return conv2d(padToWindows(dy, backward) as Tensor4D, turned, 1, 'valid', 'NHWC', dilations);
}

/** wasm runs a convolution through XNNPACK, but this kernel through plain loops. */
const prefersConvolution = (): boolean => getBackend() === 'wasm';

/** Gradient by the input of a convolution. @shape dy [B, oh, ow, out], filter [kh, kw, in, out] -> [B, h, w, in] */
export function convolutionInputGradient(dy: Tensor4D, filter: Tensor, geometry: Convolution): Tensor {
  const { axes, batch, inChannels, outChannels, padding } = geometry;
  if (isPointwise(axes)) {
    const rows = matMul(reshape(dy, [-1, outChannels]), reshape(filter, [inChannels, outChannels]), false, true);
    return reshape(rows, [batch, axes[0].input, axes[1].input, inChannels]);
  }
  const unitStride = axes.every(({ stride }) => stride === 1);
  if (axes.some(({ dilation }) => dilation > 1) || (unitStride && prefersConvolution())) {
    return inputGradientByConvolution(dy, filter, axes);
  }
  const within = padding === undefined ? padded(axes) : axes;
  const attrs = {
    strides: stridesOf(axes),
    pad: padding ?? 'valid',
    dataFormat: 'NHWC',
    inputShape: [batch, within[0].input, within[1].input, inChannels],
  };
  const gradient = runKernel(Conv2DBackpropInput, { dy, filter }, attrs);
  return padding === undefined ? unpadFromWindows(gradient, axes) : gradient;
}

/** One matrix product per tap, over all positions at once. */
function filterGradientByTaps(x: Tensor4D, dy: Tensor4D, axes: readonly WindowAxis[]): Tensor {
  const covered = padToWindows(x, axes);
  const channels = x.shape[3];
  const dyRows = reshape(dy, [-1, dy.shape[3]]);
  const taps = tapIndices(axes).map((tap) =>
    tidy(() => matMul(reshape(tapValues(covered, axes, tap), [-1, channels]), dyRows, true, false)),
  );
  return taps.length === 1 ? taps[0] : concat(taps, 0);
}

/** Native TensorFlow's own kernel is the fastest there; elsewhere products of matrices beat it or it is missing. An outer
 * tape records the products, which have gradients of their own. */
const prefersFilterKernel = (): boolean =>
  getBackend() === 'tensorflow' && hasKernel(Conv2DBackpropFilter) && !isRecording();

/** Gradient by the filter of a convolution. @shape x [B, h, w, in], dy [B, oh, ow, out] -> [kh, kw, in, out] */
export function convolutionFilterGradient(x: Tensor4D, dy: Tensor4D, geometry: Convolution): Tensor {
  const { axes, inChannels, outChannels, padding } = geometry;
  const filterShape: [number, number, number, number] = [axes[0].taps, axes[1].taps, inChannels, outChannels];
  if (isPointwise(axes) || !prefersFilterKernel() || axes.some(({ dilation }) => dilation > 1)) {
    return reshape(filterGradientByTaps(x, dy, axes), filterShape);
  }
  const within = padding === undefined ? (padToWindows(x, axes) as Tensor4D) : x;
  const attrs = { strides: stridesOf(axes), pad: padding ?? 'valid', dataFormat: 'NHWC', filterShape };
  return runKernel(Conv2DBackpropFilter, { x: within, dy }, attrs);
}

function conv2dByInput({ dy, saved: { filter }, inputs, attrs }: GradientContext): Tensor {
  const geometry = convolution(inputs.x.shape, filter.shape, attrs);
  return fromNHWC(convolutionInputGradient(toNHWC(dy, attrs.dataFormat), filter, geometry), attrs.dataFormat);
}

function conv2dByFilter({ dy, saved: { x }, inputs, attrs }: GradientContext): Tensor {
  const geometry = convolution(x.shape, inputs.filter.shape, attrs);
  return convolutionFilterGradient(toNHWC(x, attrs.dataFormat), toNHWC(dy, attrs.dataFormat), geometry);
}

/** The transposed convolution is linear in dy and in the filter, so its derivatives are the convolution's other parts. */
function transposedByDy({ dy: ddx, saved: { filter }, inputs, attrs }: GradientContext): Tensor {
  const { axes, padding } = convolution(attrs.inputShape as number[], filter.shape, attrs);
  const x = toNHWC(ddx, attrs.dataFormat);
  const seen = padding === undefined ? (padToWindows(x, axes) as Tensor4D) : x;
  const y = conv2d(seen, filter as Tensor4D, stridesOf(axes), padding ?? 'valid');
  return reshape(fromNHWC(y, attrs.dataFormat), inputs.dy.shape);
}

function transposedByFilter({ dy: ddx, saved: { dy }, inputs, attrs }: GradientContext): Tensor {
  const geometry = convolution(attrs.inputShape as number[], inputs.filter.shape, attrs);
  return convolutionFilterGradient(toNHWC(ddx, attrs.dataFormat), toNHWC(dy, attrs.dataFormat), geometry);
}

/** Convolution with any stride, dilation and padding, and its transpose. */
export const convolutionGradients: KernelGradient[] = [
  {
    kernel: Conv2D,
    inputs: { x: { reads: ['filter'], gradient: conv2dByInput }, filter: { reads: ['x'], gradient: conv2dByFilter } },
  },
  {
    kernel: Conv2DBackpropInput,
    inputs: {
      dy: { reads: ['filter'], gradient: transposedByDy },
      filter: { reads: ['dy'], gradient: transposedByFilter },
    },
  },
];
