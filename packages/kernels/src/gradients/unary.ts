import {
  Abs,
  Acos,
  Acosh,
  Asin,
  Asinh,
  Atan,
  Atanh,
  add,
  Cast,
  Ceil,
  ClipByValue,
  Cos,
  Cosh,
  cast,
  cos,
  cosh,
  div,
  Erf,
  Exp,
  Expm1,
  exp,
  Floor,
  greaterEqual,
  Identity,
  Log,
  Log1p,
  lessEqual,
  logicalAnd,
  mul,
  Neg,
  neg,
  OnesLike,
  Reciprocal,
  Round,
  Rsqrt,
  Sign,
  Sin,
  Sinh,
  Sqrt,
  Square,
  Step,
  sign,
  sin,
  sinh,
  sqrt,
  square,
  sub,
  Tan,
  type Tensor,
  ZerosLike,
} from '@tensorflow/tfjs-core';
import type { GradientContext, KernelGradient } from './definition.ts';

function ofInput(
  kernel: string,
  gradient: (dy: Tensor, x: Tensor, context: GradientContext) => Tensor,
): KernelGradient {
  return {
    kernel,
    inputs: { x: { reads: ['x'], gradient: (context) => gradient(context.dy, context.saved.x, context) } },
  };
}

/** For kernels whose slope is a function of their value: the value is what the next operation keeps anyway. */
function ofOutput(kernel: string, gradient: (dy: Tensor, y: Tensor) => Tensor): KernelGradient {
  return {
    kernel,
    inputs: { x: { reads: ['output'], gradient: ({ dy, saved: { output } }) => gradient(dy, output) } },
  };
}

const passed = (kernel: string): KernelGradient => ({ kernel, inputs: { x: { gradient: ({ dy }) => dy } } });

const flat = (kernel: string): KernelGradient => ({ kernel, inputs: { x: 'zero' } });

function clipped(dy: Tensor, x: Tensor, { attrs }: GradientContext): Tensor {
  const { clipValueMin, clipValueMax } = attrs as { clipValueMin: number; clipValueMax: number };
  return mul(dy, cast(logicalAnd(greaterEqual(x, clipValueMin), lessEqual(x, clipValueMax)), 'float32'));
}

/** Elementwise functions of one tensor, other than the activations of networks. */
export const unaryGradients: KernelGradient[] = [
  ofInput(Abs, (dy, x) => mul(dy, sign(x))),
  passed(Cast),
  passed(Identity),
  { kernel: Neg, inputs: { x: { gradient: ({ dy }) => neg(dy) } } },
  ofInput(ClipByValue, clipped),
  ...[Ceil, Floor, OnesLike, Round, Sign, Step, ZerosLike].map(flat),

  ofOutput(Exp, (dy, y) => mul(dy, y)),
  ofOutput(Expm1, (dy, y) => mul(dy, add(y, 1))),
  ofInput(Log, (dy, x) => div(dy, x)),
  ofInput(Log1p, (dy, x) => div(dy, add(x, 1))),
  ofOutput(Sqrt, (dy, y) => div(dy, mul(y, 2))),
  ofOutput(Rsqrt, (dy, y) => mul(mul(dy, -0.5), mul(y, square(y)))),
  ofInput(Square, (dy, x) => mul(dy, mul(x, 2))),
  ofOutput(Reciprocal, (dy, y) => neg(mul(dy, square(y)))),
  ofInput(Erf, (dy, x) => mul(dy, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI)))),

  ofInput(Sin, (dy, x) => mul(dy, cos(x))),
  ofInput(Cos, (dy, x) => neg(mul(dy, sin(x)))),
  ofOutput(Tan, (dy, y) => mul(dy, add(square(y), 1))),
  ofInput(Asin, (dy, x) => div(dy, sqrt(sub(1, square(x))))),
  ofInput(Acos, (dy, x) => neg(div(dy, sqrt(sub(1, square(x)))))),
  ofInput(Atan, (dy, x) => div(dy, add(square(x), 1))),
  ofInput(Sinh, (dy, x) => mul(dy, cosh(x))),
  ofInput(Cosh, (dy, x) => mul(dy, sinh(x))),
  ofInput(Asinh, (dy, x) => div(dy, sqrt(add(square(x), 1)))),
  ofInput(Acosh, (dy, x) => div(dy, sqrt(sub(square(x), 1)))),
  ofInput(Atanh, (dy, x) => div(dy, sub(1, square(x)))),
];
