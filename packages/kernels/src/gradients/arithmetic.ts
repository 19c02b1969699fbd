import {
  Add,
  AddN,
  Atan2,
  add,
  cast,
  div,
  equal,
  FloorDiv,
  floor,
  greater,
  greaterEqual,
  less,
  lessEqual,
  log,
  Maximum,
  Minimum,
  Mod,
  Multiply,
  mul,
  neg,
  onesLike,
  Pow,
  pow,
  RealDiv,
  SquaredDifference,
  Sub,
  square,
  sub,
  type Tensor,
  where,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { sumTo } from './broadcast.ts';
import type { GradientContext, InputGradient, KernelGradient } from './definition.ts';

/** The gradient of one side of a binary operation, summed over the axes along which that side was broadcast. */
function side(reads: readonly string[], gradient: (context: GradientContext) => Tensor): InputGradient {
  return { reads, gradient: (context, input) => sumTo(gradient(context), context.inputs[input].shape) };
}

const masked = (dy: Tensor, mask: Tensor): Tensor => mul(dy, cast(mask, 'float32'));

const twiceDifference = ({ dy, saved: { a, b } }: GradientContext): Tensor => mul(mul(dy, 2), sub(a, b));

const radiusSquared = ({ saved: { a, b } }: GradientContext): Tensor => add(square(a), square(b));

function powerByBase({ dy, saved: { a, b } }: GradientContext): Tensor {
  // d(a^0) is 0 also at a = 0, where b * a^(b-1) would be 0 * infinity.
  const slope = mul(b, pow(a, sub(b, 1)));
  return mul(dy, where(equal(b, 0), zerosLike(slope), slope));
}

function powerByExponent({ dy, saved: { a, output } }: GradientContext): Tensor {
  const positive = greater(a, 0);
  const logarithm = log(where(positive, a, onesLike(a)));
  return mul(mul(dy, output), logarithm);
}

/** Arithmetic on two tensors with broadcasting. A tie of Maximum or Minimum goes to `a`, as in TensorFlow. */
export const arithmeticGradients: KernelGradient[] = [
  { kernel: Add, inputs: { a: side([], ({ dy }) => dy), b: side([], ({ dy }) => dy) } },
  { kernel: AddN, inputs: { '*': { gradient: ({ dy }) => dy } } },
  {
    kernel: Sub,
    inputs: { a: side([], ({ dy }) => dy), b: { gradient: ({ dy, inputs }) => neg(sumTo(dy, inputs.b.shape)) } },
  },
  {
    kernel: Multiply,
    inputs: {
      a: side(['b'], ({ dy, saved: { b } }) => mul(dy, b)),
      b: side(['a'], ({ dy, saved: { a } }) => mul(dy, a)),
    },
  },
  {
    kernel: RealDiv,
    inputs: {
      a: side(['b'], ({ dy, saved: { b } }) => div(dy, b)),
      b: side(['b', 'output'], ({ dy, saved: { b, output } }) => neg(div(mul(dy, output), b))),
    },
  },
  {
    kernel: SquaredDifference,
    inputs: { a: side(['a', 'b'], twiceDifference), b: side(['a', 'b'], (context) => neg(twiceDifference(context))) },
  },
  {
    kernel: Maximum,
    inputs: {
      a: side(['a', 'b'], ({ dy, saved: { a, b } }) => masked(dy, greaterEqual(a, b))),
      b: side(['a', 'b'], ({ dy, saved: { a, b } }) => masked(dy, less(a, b))),
    },
  },
  {
    kernel: Minimum,
    inputs: {
      a: side(['a', 'b'], ({ dy, saved: { a, b } }) => masked(dy, lessEqual(a, b))),
      b: side(['a', 'b'], ({ dy, saved: { a, b } }) => masked(dy, greater(a, b))),
    },
  },
  { kernel: Pow, inputs: { a: side(['a', 'b'], powerByBase), b: side(['a', 'output'], powerByExponent) } },
  {
    kernel: Atan2,
    inputs: {
      a: side(['a', 'b'], (context) => div(mul(context.dy, context.saved.b), radiusSquared(context))),
      b: side(['a', 'b'], (context) => neg(div(mul(context.dy, context.saved.a), radiusSquared(context)))),
    },
  },
  {
    kernel: Mod,
    inputs: {
      a: side([], ({ dy }) => dy),
      b: side(['a', 'b'], ({ dy, saved: { a, b } }) => neg(mul(dy, floor(div(a, b))))),
    },
  },
  { kernel: FloorDiv, inputs: { a: 'zero', b: 'zero' } },
];
