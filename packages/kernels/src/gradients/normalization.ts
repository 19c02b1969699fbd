import {
  add,
  FusedBatchNorm,
  LRN,
  matMul,
  mul,
  neg,
  pow,
  reshape,
  rsqrt,
  square,
  sub,
  type Tensor,
  tensor2d,
} from '@tensorflow/tfjs-core';
import { sumTo } from './broadcast.ts';
import type { GradientContext, KernelGradient } from './definition.ts';

const inverseDeviation = ({ saved: { variance }, attrs }: GradientContext): Tensor =>
  rsqrt(add(variance, attrs.varianceEpsilon as number));

/** dy times the scale, where there is one. */
const scaled = ({ dy, saved: { scale } }: GradientContext): Tensor => (scale === undefined ? dy : mul(dy, scale));

const byMean = (context: GradientContext): Tensor =>
  sumTo(neg(mul(scaled(context), inverseDeviation(context))), context.inputs.mean.shape);

function byVariance(context: GradientContext): Tensor {
  const { x, mean } = context.saved;
  const inverse = inverseDeviation(context);
  const slope = mul(mul(inverse, square(inverse)), -0.5);
  return sumTo(mul(mul(scaled(context), sub(x, mean)), slope), context.inputs.variance.shape);
}

function byScale(context: GradientContext): Tensor {
  const { x, mean } = context.saved;
  return sumTo(mul(mul(context.dy, sub(x, mean)), inverseDeviation(context)), context.inputs.scale.shape);
}

/** 1 where two channels are at most `radius` apart: local response normalisation sums squares over such a band. */
function band(channels: number, radius: number): Tensor {
  const values = new Float32Array(channels * channels);
  for (let row = 0; row < channels; row++) {
    for (let column = 0; column < channels; column++) {
      if (Math.abs(row - column) <= radius) values[row * channels + column] = 1;
    }
  }
  return tensor2d(values, [channels, channels]);
}

/** y_c = x_c * n_c^-beta with n = bias + alpha * band(x^2). */
function localResponse({ dy, saved: { x }, attrs }: GradientContext): Tensor {
  const { depthRadius, bias, alpha, beta } = attrs as {
    depthRadius: number;
    bias: number;
    alpha: number;
    beta: number;
  };
  const channels = x.shape[3] as number;
  const window = band(channels, depthRadius);
  const overWindow = (values: Tensor): Tensor => reshape(matMul(reshape(values, [-1, channels]), window), x.shape);
  const n = add(mul(overWindow(square(x)), alpha), bias);
  const through = overWindow(mul(mul(dy, x), pow(n, -beta - 1)));
  return sub(mul(dy, pow(n, -beta)), mul(mul(x, through), 2 * alpha * beta));
}

/** Batch normalisation with given statistics (differentiated too), and local response normalisation. */
export const normalizationGradients: KernelGradient[] = [
  {
    kernel: FusedBatchNorm,
    inputs: {
      x: { reads: ['scale', 'variance'], gradient: (context) => mul(scaled(context), inverseDeviation(context)) },
      mean: { reads: ['scale', 'variance'], gradient: byMean },
      variance: { reads: ['x', 'mean', 'scale', 'variance'], gradient: byVariance },
      scale: { reads: ['x', 'mean', 'variance'], gradient: byScale },
      offset: { gradient: ({ dy, inputs }) => sumTo(dy, inputs.offset.shape) },
    },
  },
  { kernel: LRN, inputs: { x: { reads: ['x'], gradient: localResponse } } },
];
