import {
  broadcastTo,
  Cumprod,
  Cumsum,
  cast,
  cumprod,
  cumsum,
  div,
  equal,
  logicalAnd,
  Max,
  Mean,
  Min,
  mul,
  onesLike,
  Prod,
  reshape,
  Sum,
  sum,
  type Tensor,
  transpose,
  util,
  where,
} from '@tensorflow/tfjs-core';
import type { GradientContext, KernelGradient } from './definition.ts';

type Axes = number | number[] | undefined;

/** The shape of a reduction's result with its reduced axes kept as 1. */
function keptShape(shape: number[], axes: number[]): number[] {
  return shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
}

const reducedAxes = (axes: Axes, shape: number[]): number[] => util.parseAxisParam(axes as number[], shape);

function spread({ dy, inputs, attrs }: GradientContext): Tensor {
  const { shape } = inputs.x;
  return broadcastTo(reshape(dy, keptShape(shape, reducedAxes(attrs.axis as Axes, shape))), shape);
}

function spreadMean(context: GradientContext): Tensor {
  const count = util.sizeFromShape(context.inputs.x.shape) / Math.max(1, util.sizeFromShape(context.outputs[0].shape));
  return spread({ ...context, dy: div(context.dy, count) });
}

/** To the extreme elements, in equal shares where several are equal. */
function toExtreme({ dy, saved: { x, output }, attrs }: GradientContext): Tensor {
  // Max calls them reductionIndices, Min axis.
  const axes = reducedAxes((attrs.reductionIndices ?? attrs.axis) as Axes, x.shape);
  const kept = keptShape(x.shape, axes);
  const isExtreme = cast(equal(x, reshape(output, kept)), 'float32');
  return mul(isExtreme, div(reshape(dy, kept), sum(isExtreme, axes, true)));
}

/** The product of all the other elements, without dividing: exact also where elements are zero. */
function productOfOthers({ dy, saved: { x }, attrs }: GradientContext): Tensor {
  const axes = reducedAxes(attrs.axis as Axes, x.shape);
  const rest = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const permutation = [...rest, ...axes];
  const outer = rest.map((axis) => x.shape[axis]);
  const reduced = axes.map((axis) => x.shape[axis]);
  const rows = reshape(transpose(x, permutation), [util.sizeFromShape(outer), util.sizeFromShape(reduced)]);
  const others = mul(cumprod(rows, 1, true, false), cumprod(rows, 1, true, true));
  const gradient = reshape(mul(others, reshape(dy, [-1, 1])), [...outer, ...reduced]);
  return transpose(
    gradient,
    permutation.map((_, axis) => permutation.indexOf(axis)),
  );
}

/** Sums of dy * y further on, divided by x. Behind the first zero every product is 0; at that zero
 * the products are taken without it. */
function cumulativeProduct({ dy, saved: { x, output }, attrs }: GradientContext): Tensor {
  const { exclusive, reverse } = attrs as { exclusive: boolean; reverse: boolean };
  const [axis] = reducedAxes(attrs.axis as Axes, x.shape);
  const further = (products: Tensor): Tensor => cumsum(mul(dy, products), axis, exclusive, !reverse);
  const isZero = equal(x, 0);
  const zerosSoFar = cumsum(cast(isZero, 'float32'), axis, false, reverse);
  const isFirstZero = logicalAnd(isZero, equal(zerosSoFar, 1));
  const ones = onesLike(x);
  const withoutFirst = cumprod(where(isFirstZero, ones, x), axis, exclusive, reverse);
  return where(isFirstZero, further(withoutFirst), div(further(output), where(isZero, ones, x)));
}

/** Reductions and running reductions. */
export const reductionGradients: KernelGradient[] = [
  { kernel: Sum, inputs: { x: { gradient: spread } } },
  { kernel: Mean, inputs: { x: { gradient: spreadMean } } },
  { kernel: Max, inputs: { x: { reads: ['x', 'output'], gradient: toExtreme } } },
  { kernel: Min, inputs: { x: { reads: ['x', 'output'], gradient: toExtreme } } },
  { kernel: Prod, inputs: { x: { reads: ['x'], gradient: productOfOthers } } },
  {
    kernel: Cumsum,
    inputs: {
      x: {
        gradient: ({ dy, attrs }) => {
          const [axis] = reducedAxes(attrs.axis as Axes, dy.shape);
          return cumsum(dy, axis, attrs.exclusive as boolean, !(attrs.reverse as boolean));
        },
      },
    },
  },
  { kernel: Cumprod, inputs: { x: { reads: ['x', 'output'], gradient: cumulativeProduct } } },
];
