import { randomValues } from '@rass/testkit';
import { einsum, fused, matMul, ones, range, reshape, type Tensor, type Tensor2D, tensor } from '@tensorflow/tfjs-core';

/** A call of a repaired kernel with a result worked out by other means. */
export interface KernelCase {
  name: string;
  covers: string;
  run: () => Tensor;
  expected: number[];
}

/** Random values of a seed. */
export const floats = (shape: number[], seed = 1): Tensor =>
  tensor(
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      { seed },
    ),
    shape,
  );
/** 0, 1, 2 and so on. */
export const counting = (shape: number[]): Tensor =>
  reshape(
    range(
      0,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );

/** [2, 1, 2, 2] by [1, 3, 2, 2], each pair of matrices multiplied in JavaScript. */
function productsByHand(): number[] {
  const products: number[] = [];
  for (let i = 0; i < 2; i++) {
    for (let j = 0; j < 3; j++) {
      for (let row = 0; row < 2; row++) {
        for (let column = 0; column < 2; column++) {
          let total = 0;
          for (let k = 0; k < 2; k++) total += (i * 4 + row * 2 + k) * (j * 4 + k * 2 + column);
          products.push(total);
        }
      }
    }
  }
  return products;
}

/** The products of two random batches in JavaScript. */
function batchedByHand(transposeA: boolean, transposeB: boolean): number[] {
  const [a, b] = [randomValues(2 * 33 * 40, { seed: 1 }), randomValues(2 * 40 * 35, { seed: 2 })];
  const products: number[] = [];
  for (let batch = 0; batch < 2; batch++) {
    for (let row = 0; row < 33; row++) {
      for (let column = 0; column < 35; column++) {
        let total = 0;
        for (let k = 0; k < 40; k++) {
          const left = a[batch * 33 * 40 + (transposeA ? k * 33 + row : row * 40 + k)];
          total += left * b[batch * 40 * 35 + (transposeB ? column * 40 + k : k * 35 + column)];
        }
        products.push(total);
      }
    }
  }
  return products;
}

/** Einstein sums and matrix products. */
export const productCases: KernelCase[] = [
  {
    name: 'matrix product',
    covers: 'Einsum',
    run: () => einsum('ij,jk->ki', counting([2, 2]), counting([2, 2])),
    expected: [2, 6, 3, 11],
  },
  {
    name: 'a label in one term only',
    covers: 'Einsum',
    run: () => einsum('ij,jk->k', counting([2, 2]), counting([2, 2])),
    expected: [8, 14],
  },
  {
    name: 'trace of a product',
    covers: 'Einsum',
    run: () => einsum('ij,ji->', counting([2, 2]), counting([2, 2])),
    expected: [13],
  },
  {
    name: 'outer product',
    covers: 'Einsum',
    run: () => einsum('i,j->ji', counting([2]), counting([3])),
    expected: [0, 0, 0, 1, 0, 2],
  },
  {
    name: 'one term, summed',
    covers: 'Einsum',
    run: () => einsum('ijk->kj', counting([2, 2, 2])),
    expected: [4, 8, 6, 10],
  },
  {
    name: 'batches broadcast on both sides',
    covers: 'BatchMatMul',
    run: () => matMul(counting([2, 1, 2, 2]), counting([1, 3, 2, 2])),
    expected: productsByHand(),
  },
  {
    name: 'a second matrix that was multiplied under another shape',
    covers: 'BatchMatMul',
    run: () => {
      const b = counting([4, 6]);
      matMul(ones([2, 12]), reshape(b, [12, 2]));
      return matMul(ones([1, 4]), b);
    },
    expected: [36, 40, 44, 48, 52, 56],
  },
  {
    name: 'a bias for each column, second matrix transposed, then relu',
    covers: '_FusedMatMul',
    // Products [[1, 3], [3, 13]] of [[0, 1], [2, 3]] with itself transposed.
    run: () =>
      fused.matMul({
        a: counting([2, 2]) as Tensor2D,
        b: counting([2, 2]) as Tensor2D,
        transposeB: true,
        bias: tensor([10, -5], [2]),
        activation: 'relu',
      }),
    expected: [11, 0, 13, 8],
  },
  ...[
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ].flatMap(([transposeA, transposeB]): KernelCase[] => [
    {
      name: `large enough for XNNPACK, transposed ${transposeA} ${transposeB}`,
      covers: 'BatchMatMul',
      run: () =>
        matMul(
          floats(transposeA ? [2, 40, 33] : [2, 33, 40]),
          floats(transposeB ? [2, 35, 40] : [2, 40, 35], 2),
          transposeA,
          transposeB,
        ),
      expected: batchedByHand(transposeA, transposeB),
    },
    {
      name: `a batch by one matrix, transposed ${transposeA} ${transposeB}`,
      covers: 'BatchMatMul',
      run: () => matMul(counting(transposeA ? [2, 2, 1] : [2, 1, 2]), counting([2, 2]), transposeA, transposeB),
      expected: transposeB ? [1, 3, 3, 13] : [2, 3, 6, 11],
    },
  ]),
];
