import { BatchMatMul, matMul, reshape, type Tensor, util } from '@tensorflow/tfjs-core';
import { sumTo } from './broadcast.ts';
import type { GradientContext, KernelGradient } from './definition.ts';

const batchSize = (shape: number[]): number => util.sizeFromShape(shape.slice(0, -2));

/** [.., M, K] as [all rows, K]. */
const asRows = (x: Tensor): Tensor => reshape(x, [-1, x.shape[x.rank - 1]]);

interface Product {
  left: Tensor;
  right: Tensor;
  transposeLeft: boolean;
  transposeRight: boolean;
}

/** A product whose batch axes are then summed down to `shape`. Where all rows of a batch meet in one matrix
 * (a linear layer on [B, L, C]) it is one product over all the rows, which needs no room for one result per item. */
function product({ left, right, transposeLeft, transposeRight }: Product, shape: number[]): Tensor {
  const single = batchSize(shape) === 1;
  if (single && transposeLeft && !transposeRight && batchSize(left.shape) === batchSize(right.shape)) {
    return reshape(matMul(asRows(left), asRows(right), true, false), shape);
  }
  return sumTo(matMul(left, right, transposeLeft, transposeRight), shape);
}

function gradientOfA({ dy, saved: { b }, inputs, attrs }: GradientContext): Tensor {
  const { transposeA, transposeB } = attrs as { transposeA: boolean; transposeB: boolean };
  const { shape } = inputs.a;
  return transposeA
    ? product({ left: b, right: dy, transposeLeft: transposeB, transposeRight: true }, shape)
    : product({ left: dy, right: b, transposeLeft: false, transposeRight: !transposeB }, shape);
}

function gradientOfB({ dy, saved: { a }, inputs, attrs }: GradientContext): Tensor {
  const { transposeA, transposeB } = attrs as { transposeA: boolean; transposeB: boolean };
  const { shape } = inputs.b;
  return transposeB
    ? product({ left: dy, right: a, transposeLeft: true, transposeRight: transposeA }, shape)
    : product({ left: a, right: dy, transposeLeft: !transposeA, transposeRight: false }, shape);
}

/** Matrix products with broadcast batch axes. */
export const matMulGradients: KernelGradient[] = [
  {
    kernel: BatchMatMul,
    inputs: { a: { reads: ['b'], gradient: gradientOfA }, b: { reads: ['a'], gradient: gradientOfB } },
  },
];
