import { attention, conv2d, groupNorm, resize } from '@rass/kernels';
import {
  gather,
  matMul,
  mul,
  round,
  sigmoid,
  softmax,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor3D,
  type Tensor4D,
  tensor1d,
} from '@tensorflow/tfjs-core';
import {
  attentionReference,
  conv2dReference,
  gatherReference,
  groupNormReference,
  matMulReference,
  type Reference,
  resizeReference,
  softmaxReference,
  type Values,
} from './reference.ts';

/** One op: how the backend computes it and what it should give. `differentiable` false checks the values alone. */
export interface CheckCase {
  name: string;
  /** Shapes of the inputs, which are filled with seeded numbers in [-1, 1). */
  shapes: readonly (readonly number[])[];
  run: (inputs: Tensor[]) => Tensor;
  reference: (inputs: Values[], seed: Values) => Reference;
  differentiable: boolean;
}

const CONV = { height: 13, width: 10, input: 5, output: 7, filter: 3, stride: 2, padding: 1 } as const;
const ROWS = [4, 0, 4, 2, 9, 4] as const;
const WIDTH = 6;

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

function siluSlope(x: number): number {
  const s = 1 / (1 + Math.exp(-x));
  return s * (1 + x * (1 - s));
}

const linear: CheckCase[] = [
  {
    name: 'matMul',
    shapes: [
      [37, 53],
      [53, 29],
    ],
    run: ([a, b]) => matMul(a!, b!),
    reference: ([a, b], seed) => matMulReference(a!, b!, seed, [37, 53, 29]),
    differentiable: true,
  },
  {
    name: 'conv2d',
    shapes: [
      [1, CONV.height, CONV.width, CONV.input],
      [CONV.filter, CONV.filter, CONV.input, CONV.output],
    ],
    run: ([x, w]) => conv2d(x as Tensor4D, w as Tensor4D, { stride: CONV.stride, padding: CONV.padding }),
    reference: ([x, w], seed) => conv2dReference(x!, w!, seed, CONV),
    differentiable: true,
  },
  {
    name: 'attention',
    shapes: [
      [1, 19, 16],
      [1, 11, 16],
      [1, 11, 16],
    ],
    run: ([q, k, v]) => attention(q as Tensor3D, k as Tensor3D, v as Tensor3D, { heads: 1 }),
    reference: ([q, k, v], seed) => attentionReference(q!, k!, v!, seed, [19, 11, 16]),
    differentiable: true,
  },
];

const pointwise: CheckCase[] = [
  {
    name: 'softmax',
    shapes: [[17, 77]],
    run: ([x]) => softmax(mul(x!, 8)),
    reference: ([x], seed) => {
      const { value, gradients } = softmaxReference(
        x!.map((v) => 8 * v),
        seed,
        [17, 77],
      );
      return { value, gradients: gradients.map((g) => g.map((v) => 8 * v)) };
    },
    differentiable: true,
  },
  {
    name: 'silu',
    shapes: [[1000]],
    run: ([x]) => mul(x!, sigmoid(x!)),
    reference: ([x], seed) => ({ value: x!.map(silu), gradients: [x!.map((v, i) => seed[i]! * siluSlope(v))] }),
    differentiable: true,
  },
  {
    name: 'group norm',
    shapes: [[1, 9, 7, 12], [12], [12]],
    run: ([x, w, b]) => groupNorm(x as Tensor4D, w as Tensor1D, b as Tensor1D, { groups: 3, epsilon: 1e-5 }),
    reference: ([x, w, b], seed) => groupNormReference(x!, w!, seed, { groups: 3, epsilon: 1e-5, bias: b! }),
    differentiable: true,
  },
  {
    name: 'sum of 100,000',
    shapes: [[100, 1000]],
    run: ([x]) => sum(mul(x!, x!)),
    reference: ([x], seed) => ({
      value: Float64Array.of(x!.reduce((total, v) => total + v * v, 0)),
      gradients: [x!.map((v) => 2 * v * seed[0]!)],
    }),
    differentiable: true,
  },
];

const indexed: CheckCase[] = [
  {
    name: 'gather',
    shapes: [[10, WIDTH]],
    run: ([table]) => gather(table!, tensor1d([...ROWS], 'int32')),
    reference: ([table], seed) => gatherReference(table!, ROWS, seed, WIDTH),
    differentiable: true,
  },
  {
    name: 'resize bilinear',
    shapes: [[1, 7, 5, 3]],
    run: ([x]) => resize(x as Tensor4D, [11, 13], 'bilinear'),
    reference: ([x], seed) => resizeReference(x!, seed, [7, 5, 3], [11, 13]),
    differentiable: true,
  },
  {
    // TensorFlow 2.17 and later give zeros.
    name: 'round of int32',
    shapes: [],
    run: () => round(tensor1d([...ROWS], 'int32')),
    reference: () => ({ value: Float64Array.from(ROWS), gradients: [] }),
    differentiable: false,
  },
];

/** The ops that the check runs, small enough for the plain JavaScript backend. */
export const CHECK_CASES: readonly CheckCase[] = [...linear, ...pointwise, ...indexed];
