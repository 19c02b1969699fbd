import { broadcast_util, reshape, sum, type Tensor, util } from '@tensorflow/tfjs-core';

/** Sums a gradient over the axes along which an input of this shape was broadcast. */
export function sumTo(gradient: Tensor, shape: number[]): Tensor {
  if (util.arraysEqual(gradient.shape, shape)) return gradient;
  const axes = broadcast_util.getReductionAxes(shape, gradient.shape);
  return reshape(axes.length > 0 ? sum(gradient, axes) : gradient, shape);
}
