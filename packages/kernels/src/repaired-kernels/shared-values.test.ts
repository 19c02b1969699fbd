import { activateBackend, describeOnBackends, expectClose, expectNoLeaks, randomValues } from '@rass/testkit';
import {
  avgPool,
  clipByValue,
  concat1d,
  conv2d,
  conv2dTranspose,
  depthwiseConv2d,
  fused,
  image,
  matMul,
  maxPool,
  mul,
  pad,
  prelu,
  reshape,
  slice1d,
  slice2d,
  softmax,
  squaredDifference,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tensor,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import { beforeAll, it } from 'vitest';

/** As many numbers as every weight below has, so that one tensor is all of them. */
const COUNT = 144;

type Four = [number, number, number, number];
const ZERO: [number, number] = [0, 0];

type Run = (weights: Tensor) => Tensor;

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const values = (shape: number[], seed = 2): Tensor => tensor(randomValues(sizeOf(shape), { seed }), shape);
const values4 = (shape: Four): Tensor4D => values(shape) as Tensor4D;
const first = (weights: Tensor, count: number): Tensor1D => slice1d(reshape(weights, [COUNT]), 0, count);
/** The first numbers, written as a row and taken as a bias. */
const bias = (weights: Tensor, count: number): Tensor1D =>
  reshape(slice2d(reshape(weights, [1, COUNT]), [0, 0], [1, count]), [count]);

const MATRICES = [
  [12, 12],
  [6, 24],
  [24, 6],
  [144, 1],
  [1, 144],
  [48, 3],
] as const;

const FILTERS: readonly Four[] = [
  [1, 1, 12, 12],
  [3, 3, 4, 4],
  [3, 3, 2, 8],
  [3, 3, 8, 2],
  [2, 2, 6, 6],
  [2, 2, 36, 1],
];

const products = MATRICES.flatMap(([rows, columns]): [string, Run][] => [
  [
    `matMul [5, ${rows}] by [${rows}, ${columns}]`,
    (w) => matMul(values([5, rows]), reshape(w, [rows, columns]) as Tensor2D),
  ],
  [`matMul by the transposed`, (w) => matMul(values([5, columns]), reshape(w, [rows, columns]), false, true)],
  [`matMul of two that share`, (w) => matMul(reshape(w, [columns, rows]), reshape(w, [rows, columns]))],
  [
    `fused matMul by [${rows}, ${columns}]`,
    (w) =>
      fused.matMul({
        a: values([2, rows]) as Tensor2D,
        b: reshape(w, [rows, columns]) as Tensor2D,
        transposeA: false,
        transposeB: false,
        bias: bias(w, columns),
        activation: 'relu',
      }),
  ],
]);

const convolutions = FILTERS.flatMap((filter): [string, Run][] => {
  const [rows, columns, inputs, outputs] = filter;
  const shaped = (w: Tensor) => reshape(w, filter) as Tensor4D;
  return [
    [`conv2d by [${filter}]`, (w) => conv2d(values4([1, 5, 6, inputs]), shaped(w), 1, 'same')],
    [
      `fused conv2d by [${filter}]`,
      (w) =>
        fused.conv2d({
          x: values4([1, 5, 6, inputs]),
          filter: shaped(w),
          strides: 1,
          pad: 'same',
          bias: bias(w, outputs),
          activation: 'prelu',
          preluActivationWeights: first(w, outputs),
        }),
    ],
    [
      `conv2dTranspose by [${filter}]`,
      (w) => conv2dTranspose(values4([1, 4, 4, outputs]), shaped(w), [1, 3 + rows, 3 + columns, inputs], 1, 'valid'),
    ],
    [`depthwise by [${filter}]`, (w) => depthwiseConv2d(values4([1, 5, 6, inputs]), shaped(w), 1, 'same')],
    [
      `fused depthwise by [${filter}]`,
      (w) =>
        fused.depthwiseConv2d({
          x: values4([1, 5, 6, inputs]),
          filter: shaped(w),
          strides: 1,
          pad: 'same',
          bias: bias(w, inputs * outputs),
          activation: 'relu',
        }),
    ],
  ];
});

const slopes = [[COUNT], [12, 12], [2, 72], [12, 1, 12], [1, 12, 12]].map((shape): [string, Run] => [
  `prelu with [${shape}]`,
  (w) => prelu(values([3, ...shape.map((size) => (size === 1 ? 2 : size))]), reshape(w, shape)),
]);

/** Kernels that keep something by other things: a number of channels, a window, a value. */
const others = [
  [12, 12, 1],
  [6, 12, 2],
  [12, 4, 3],
  [4, 3, 12],
].flatMap(([rows, columns, channels]): [string, Run][] => {
  const shaped = (w: Tensor) => reshape(w, [1, rows, columns, channels]) as Tensor4D;
  const name = `[${rows}, ${columns}, ${channels}]`;
  return [
    [`avgPool of ${name}`, (w) => avgPool(shaped(w), 3, 2, 'same')],
    [`maxPool of ${name}`, (w) => maxPool(shaped(w), 2, 1, 'valid')],
    [`resize of ${name}`, (w) => image.resizeBilinear(shaped(w), [5, 7], false, true)],
    [`softmax of ${name}`, (w) => softmax(shaped(w))],
    [`pad of ${name}`, (w) => pad(shaped(w), [ZERO, [1, 0], [0, rows], ZERO], channels)],
    [`clip of ${name}`, (w) => clipByValue(shaped(w), -0.1 * channels, 0.2)],
    [`differences of ${name}`, (w) => squaredDifference(shaped(w), mul(first(w, channels), 2))],
  ];
});

const ALL = [...products, ...convolutions, ...slopes, ...others];

/** In an order in which a kernel meets the same weights under another shape each time. */
const cases = ALL.map((_, i) => ALL[(i * 37) % ALL.length]);

const owned = (): Tensor1D => tensor1d(randomValues(COUNT, { seed: 1 }));
/** The same numbers in the midst of others. */
const cutOut = (): Tensor =>
  tidy(() => {
    const around = values([COUNT], 5) as Tensor1D;
    return slice1d(concat1d([slice1d(around, 0, 7), owned(), around]), 7, COUNT);
  });

describeOnBackends('weights that are reshaped, sliced and shared', (backend) => {
  let expected: ArrayLike<number>[] = [];

  beforeAll(async () => {
    await activateBackend('cpu');
    const weights = owned();
    expected = [];
    for (const [, run] of cases) {
      const result = tidy(() => run(weights));
      expected.push(await result.data());
      result.dispose();
    }
    weights.dispose();
    await activateBackend(backend);
  });

  it.each([
    ['reshaped and shared', owned],
    ['sliced', cutOut],
  ])('%s: each kernel gives what it gives alone on cpu', { timeout: 120_000 }, async (_, make) => {
    await expectNoLeaks(async () => {
      const [weights, beside] = [make(), values([COUNT], 9)];
      for (const [i, [label, run]] of cases.entries()) {
        const result = tidy(() => run(weights));
        await expectClose(await result.data(), expected[i], { relative: 1e-5, label });
        result.dispose();
      }
      await expectClose(weights, randomValues(COUNT, { seed: 1 }), { relative: 0, label: 'weights' });
      await expectClose(beside, randomValues(COUNT, { seed: 9 }), { relative: 0, label: 'what lies beside' });
      for (const t of [weights, beside]) t.dispose();
    });
  });
});
