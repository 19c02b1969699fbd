import {
  abs,
  acos,
  acosh,
  add,
  addN,
  asin,
  asinh,
  atan,
  atan2,
  atanh,
  cast,
  ceil,
  clipByValue,
  clone,
  cos,
  cosh,
  div,
  elu,
  erf,
  exp,
  expm1,
  floor,
  floorDiv,
  leakyRelu,
  log,
  log1p,
  logSoftmax,
  maximum,
  minimum,
  mod,
  mul,
  neg,
  onesLike,
  pow,
  prelu,
  reciprocal,
  relu,
  relu6,
  round,
  rsqrt,
  selu,
  sigmoid,
  sign,
  sin,
  sinh,
  softmax,
  softplus,
  sqrt,
  square,
  squaredDifference,
  step,
  sub,
  type Tensor,
  tan,
  tanh,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { type CaseInput, distinct, type GradientCase, given, uniform } from './case.test-support.ts';

type Unary = (x: Tensor) => Tensor;

const positive: CaseInput = uniform([3, 4], { low: 0.3, high: 2 });
const small: CaseInput = uniform([3, 4], { low: -0.8, high: 0.8 });
const aboveOne: CaseInput = uniform([3, 4], { low: 1.3, high: 3 });
const offZero: CaseInput = distinct([4, 6], { gap: 0.2 });

function unary(kernel: string, f: Unary, input: CaseInput): GradientCase {
  return { name: kernel, covers: [kernel], inputs: [input], f };
}

/** A step's gradient is zero: it is added to something that has one. */
function flat(kernel: string, f: Unary): GradientCase {
  return { name: kernel, covers: [kernel], inputs: [offZero], f: (x) => add(f(mul(x, 2.5)), square(x)) };
}

const unaryCases: GradientCase[] = [
  unary('Abs', abs, offZero),
  unary('Neg', neg, small),
  unary('Cast', (x) => square(cast(x, 'float32')), small),
  unary('Identity', (x) => square(clone(x)), small),
  unary('ClipByValue', (x) => clipByValue(x, -0.75, 0.55), offZero),
  unary('Exp', exp, small),
  unary('Expm1', expm1, small),
  unary('Log', log, positive),
  unary('Log1p', log1p, positive),
  unary('Sqrt', sqrt, positive),
  unary('Rsqrt', rsqrt, positive),
  unary('Square', square, small),
  unary('Reciprocal', reciprocal, positive),
  unary('Erf', erf, small),
  { ...unary('Sin', sin, small), webgpuTolerance: 1e-3 },
  { ...unary('Cos', cos, small), webgpuTolerance: 1e-3 },
  unary('Tan', tan, small),
  unary('Asin', asin, small),
  unary('Acos', acos, small),
  unary('Atan', atan, small),
  unary('Sinh', sinh, small),
  unary('Cosh', cosh, small),
  unary('Asinh', asinh, small),
  unary('Acosh', acosh, aboveOne),
  unary('Atanh', atanh, small),
  flat('Ceil', ceil),
  flat('Floor', floor),
  flat('OnesLike', onesLike),
  flat('Round', round),
  flat('Sign', sign),
  flat('Step', (x) => step(x, 0.3)),
  flat('ZerosLike', zerosLike),
];

const activationCases: GradientCase[] = [
  unary('Relu', relu, offZero),
  unary('Relu6', (x) => relu6(mul(x, 3.3)), offZero),
  unary('Elu', elu, offZero),
  unary('Selu', selu, offZero),
  unary('Sigmoid', sigmoid, offZero),
  unary('Tanh', tanh, small),
  unary('Softplus', softplus, offZero),
  unary('LeakyRelu', (x) => leakyRelu(x, 0.3), offZero),
  { name: 'LeakyRelu, negative slope', covers: ['LeakyRelu'], inputs: [offZero], f: (x) => leakyRelu(x, -0.5) },
  { name: 'Prelu', covers: ['Prelu'], inputs: [distinct([2, 3, 4]), uniform([4], { low: 0.1 })], f: prelu },
  { name: 'Prelu per element', covers: ['Prelu'], inputs: [distinct([3, 4]), uniform([3, 4])], f: prelu },
  unary('Softmax', (x) => softmax(x), offZero),
  { name: 'Softmax of rank 3', covers: ['Softmax'], inputs: [uniform([2, 3, 4])], f: (x) => softmax(x) },
  { name: 'logSoftmax', covers: [], inputs: [uniform([3, 5])], f: (x) => logSoftmax(x) },
];

type Binary = (a: Tensor, b: Tensor) => Tensor;

/** Equal shapes, b broadcast, a broadcast, both broadcast, a scalar. */
function binary(kernel: string, f: Binary, range: { low: number; high: number }, spread = false): GradientCase[] {
  const make = (shape: number[], seed: number): CaseInput => {
    if (!spread) return uniform(shape, { ...range, seed });
    // The halves of one set of distinct values: a and b never tie, nor come near to it.
    const { values } = distinct([24], { gap: 0.17, seed: 5 });
    const size = shape.reduce((x, y) => x * y, 1);
    return given(shape, values.slice((seed - 1) * 12, (seed - 1) * 12 + size));
  };
  const shapes: [number[], number[]][] = [
    [
      [3, 4],
      [3, 4],
    ],
    [[2, 2, 3], [3]],
    [
      [1, 4],
      [3, 4],
    ],
    [
      [3, 1],
      [1, 4],
    ],
    [[3, 2], []],
  ];
  return shapes.map(([a, b]) => ({
    name: `${kernel} [${a}] [${b}]`,
    covers: [kernel],
    inputs: [make(a, 1), make(b, 2)],
    f,
  }));
}

const anySign = { low: -1, high: 1 };
const bothPositive = { low: 0.4, high: 2 };

const binaryCases: GradientCase[] = [
  ...binary('Add', add, anySign),
  ...binary('Sub', sub, anySign),
  ...binary('Multiply', mul, anySign),
  ...binary('RealDiv', div, bothPositive),
  ...binary('SquaredDifference', squaredDifference, anySign),
  ...binary('Maximum', maximum, anySign, true),
  ...binary('Minimum', minimum, anySign, true),
  ...binary('Pow', pow, bothPositive),
  ...binary('Atan2', atan2, bothPositive),
  {
    name: 'FloorDiv',
    covers: ['FloorDiv'],
    inputs: [given([2, 3], [5.3, -4.6, 2.2, 7.4, -1.3, 3.3]), given([3], [2, 1.7, 1.5])],
    f: (a, b) => add(floorDiv(a, b), mul(a, b)),
  },
  {
    name: 'Mod',
    covers: ['Mod'],
    inputs: [given([2, 3], [5.3, -4.6, 2.2, 7.4, -1.3, 3.3]), given([3], [2, 1.7, 1.5])],
    f: mod,
  },
  { name: 'Pow by whole exponents', covers: ['Pow'], inputs: [given([4], [-1.5, -0.7, 0.6, 2])], f: (x) => pow(x, 3) },
  {
    name: 'AddN',
    covers: ['AddN'],
    inputs: [uniform([2, 3]), uniform([2, 3], { seed: 2 }), uniform([2, 3], { seed: 3 })],
    f: (a, b, c) => addN([a, square(b), c]),
  },
  { name: 'one tensor twice', covers: ['Multiply'], inputs: [small], f: (x) => add(mul(x, x), add(x, x)) },
];

/** Elementwise functions of one and two tensors. */
export const arithmeticCases: GradientCase[] = [...unaryCases, ...activationCases, ...binaryCases];
