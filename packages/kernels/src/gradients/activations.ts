import {
  add,
  cast,
  Elu,
  greater,
  LeakyRelu,
  less,
  logicalAnd,
  mul,
  Prelu,
  Relu,
  Relu6,
  Selu,
  Sigmoid,
  Softmax,
  Softplus,
  sigmoid,
  square,
  step,
  sub,
  sum,
  Tanh,
  type Tensor,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { sumTo } from './broadcast.ts';
import type { KernelGradient } from './definition.ts';

// Constants of self-normalising networks (Klambauer et al. 2017), as the kernels have them.
const seluScaleAlpha = 1.7580993408473768;
const seluScale = 1.0507009873554805;

function ofOutput(kernel: string, gradient: (dy: Tensor, y: Tensor) => Tensor): KernelGradient {
  return {
    kernel,
    inputs: { x: { reads: ['output'], gradient: ({ dy, saved: { output } }) => gradient(dy, output) } },
  };
}

const masked = (dy: Tensor, mask: Tensor): Tensor => mul(dy, cast(mask, 'float32'));

const leakyRelu: KernelGradient = {
  kernel: LeakyRelu,
  inputs: {
    x: {
      reads: ['x'],
      gradient: ({ dy, saved: { x }, attrs }) => where(greater(x, 0), dy, mul(dy, attrs.alpha as number)),
    },
  },
};

const prelu: KernelGradient = {
  kernel: Prelu,
  inputs: {
    x: { reads: ['x', 'alpha'], gradient: ({ dy, saved: { x, alpha } }) => where(greater(x, 0), dy, mul(dy, alpha)) },
    alpha: {
      reads: ['x'],
      gradient: ({ dy, saved: { x }, inputs }) =>
        sumTo(where(greater(x, 0), zerosLike(dy), mul(dy, x)), inputs.alpha.shape),
    },
  },
};

const softmax: KernelGradient = {
  kernel: Softmax,
  inputs: {
    logits: {
      reads: ['output'],
      gradient: ({ dy, saved: { output }, attrs }) => {
        const weighted = mul(dy, output);
        return sub(weighted, mul(output, sum(weighted, attrs.dim as number, true)));
      },
    },
  },
};

/** Activations of networks. At a kink the slope is that of the flat side, as in PyTorch. */
export const activationGradients: KernelGradient[] = [
  ofOutput(Relu, (dy, y) => mul(dy, step(y))),
  ofOutput(Relu6, (dy, y) => masked(dy, logicalAnd(greater(y, 0), less(y, 6)))),
  ofOutput(Elu, (dy, y) => where(greater(y, 0), dy, mul(dy, add(y, 1)))),
  ofOutput(Selu, (dy, y) => where(greater(y, 0), mul(dy, seluScale), mul(dy, add(y, seluScaleAlpha)))),
  ofOutput(Sigmoid, (dy, y) => mul(dy, mul(y, sub(1, y)))),
  ofOutput(Tanh, (dy, y) => mul(dy, sub(1, square(y)))),
  {
    kernel: Softplus,
    inputs: { x: { reads: ['x'], gradient: ({ dy, saved: { x } }) => mul(dy, sigmoid(x)) } },
  },
  leakyRelu,
  prelu,
  softmax,
];
