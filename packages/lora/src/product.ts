import { matMul, reshape, type Tensor } from '@tensorflow/tfjs-core';
import type { Factors } from './shares.ts';

/** What the low-rank product is multiplied by. */
export function scaleFor(alpha: number, rank: number, rsLora = false): number {
  return alpha / (rsLora ? Math.sqrt(rank) : rank);
}

/** The product of the factors in the layout of the layer's weight, not yet scaled. */
export function product(factors: Factors): Tensor {
  if (factors.kind === 'linear') return matMul(factors.up.weight, factors.down.weight);
  if (factors.kind === 'embedding') return matMul(factors.down.value, factors.up.value, false, true);
  const [rows, columns, inputs, rank] = factors.down.weight.shape;
  const outputs = factors.up.weight.shape[3];
  const flat = matMul(reshape(factors.down.weight, [-1, rank]), reshape(factors.up.weight, [rank, outputs]));
  return reshape(flat, [rows, columns, inputs, outputs]);
}
