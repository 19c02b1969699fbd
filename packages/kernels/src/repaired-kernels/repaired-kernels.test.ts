import { describeOnBackends, expectClose, expectNoLeaks, randomValues } from '@rass/testkit';
import {
  addN,
  cast,
  clone,
  conv3dTranspose,
  cumprod,
  cumsum,
  einsum,
  engine,
  gather,
  getKernel,
  matMul,
  maxPool3d,
  memory,
  mirrorPad,
  pad,
  range,
  reshape,
  round,
  slice,
  type Tensor,
  type Tensor1D,
  type Tensor5D,
  tensor,
  tensorScatterUpdate,
  tidy,
  transpose,
  unsortedSegmentSum,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { registerRepairedKernels, repairedKernels } from './install.ts';

/** A call of a repaired kernel with a result worked out by other means. */
interface KernelCase {
  name: string;
  covers: string;
  run: () => Tensor;
  expected: number[];
}

const floats = (shape: number[], seed = 1): Tensor =>
  tensor(
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      { seed },
    ),
    shape,
  );
const counting = (shape: number[]): Tensor =>
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

/** The convolution's transpose, kernel [2, 1, 1, 1, 1] = (1, 10), stride (2, 1, 1), on depths (3, 4). */
const transposedByHand = [3, 30, 4, 40];

const image5d = [-3, -1, -4, -1, -5, -9, -2, -6];

function kernelAttrs(extra: Record<string, unknown>): never {
  return { strides: 1, dimRoundingMode: undefined, ...extra } as never;
}

const cases: KernelCase[] = [
  {
    name: 'integers stay as they are',
    covers: 'Round',
    run: () => round(tensor([3, 0, -7], [3], 'int32')),
    expected: [3, 0, -7],
  },
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
  {
    name: 'nine addends',
    covers: 'AddN',
    run: () => addN(Array.from({ length: 9 }, (_, i) => tensor([i, 1]))),
    expected: [36, 9],
  },
  { name: 'negative axis', covers: 'Cumsum', run: () => cumsum(counting([2, 3]), -1), expected: [0, 1, 3, 3, 7, 12] },
  {
    name: 'reversed and exclusive',
    covers: 'Cumsum',
    run: () => cumsum(counting([2, 3]), 1, true, true),
    expected: [3, 2, 0, 9, 5, 0],
  },
  // WebGPU once ran the shader made for the case above, of length 3.
  {
    name: 'reversed, of another length',
    covers: 'Cumsum',
    run: () => cumsum(counting([2, 4]), 1, false, true),
    expected: [6, 6, 5, 3, 22, 18, 13, 7],
  },
  { name: 'rank 5', covers: 'Cumsum', run: () => cumsum(counting([1, 2, 1, 2, 1]), 1), expected: [0, 1, 2, 4] },
  {
    name: 'negative axis',
    covers: 'Cumprod',
    run: () => cumprod(tensor([1, 2, 3, 4], [2, 2]), -1),
    expected: [1, 2, 3, 12],
  },
  {
    name: 'reversed',
    covers: 'Cumprod',
    run: () => cumprod(tensor([1, 2, 3, 4], [4]), 0, false, true),
    expected: [24, 24, 12, 4],
  },
  {
    name: 'reversed, of another length',
    covers: 'Cumprod',
    run: () => cumprod(tensor([1, 2, 3, 4, 5], [5]), 0, true, true),
    expected: [120, 60, 20, 5, 1],
  },
  {
    name: 'rows dropped by a negative number',
    covers: 'UnsortedSegmentSum',
    run: () => unsortedSegmentSum(counting([5, 2]), tensor([1, -1, 0, 1, -3], [5], 'int32') as Tensor1D, 3),
    expected: [4, 5, 6, 8, 0, 0],
  },
  {
    name: 'integers',
    covers: 'UnsortedSegmentSum',
    run: () => unsortedSegmentSum(tensor([5, 6, 7], [3], 'int32'), tensor([1, 0, 1], [3], 'int32') as Tensor1D, 2),
    expected: [6, 12],
  },
  {
    name: 'in batches',
    covers: 'GatherV2',
    run: () => gather(counting([2, 3]), tensor([2, 0, 1, 1], [2, 2], 'int32'), 1, 1),
    expected: [2, 0, 4, 4],
  },
  {
    name: 'in batches, with an axis between',
    covers: 'GatherV2',
    run: () => gather(counting([2, 2, 3]), tensor([2, 0], [2, 1], 'int32'), 2, 1),
    expected: [2, 5, 6, 9],
  },
  {
    name: 'negative axis',
    covers: 'GatherV2',
    run: () => gather(counting([2, 3]), tensor([2, 0], [2], 'int32'), -1),
    expected: [2, 0, 5, 3],
  },
  {
    name: 'a box',
    covers: 'Slice',
    run: () => slice(counting([2, 3, 4]), [0, 1, 2], [2, 2, 2]),
    expected: [6, 7, 10, 11, 18, 19, 22, 23],
  },
  {
    name: 'whole rows',
    covers: 'Slice',
    run: () => slice(counting([3, 2, 2]), [1, 0, 0], [1, 2, 2]),
    expected: [4, 5, 6, 7],
  },
  {
    name: 'long rows of rank 5',
    covers: 'Slice',
    run: () => slice(counting([2, 2, 1, 3, 20]), [1, 0, 0, 1, 0], [1, 2, 1, 1, 20]),
    expected: [140, 200].flatMap((first) => Array.from({ length: 20 }, (_, i) => first + i)),
  },
  {
    name: 'integers',
    covers: 'Slice',
    run: () => slice(tensor([1, 2, 3, 4], [4], 'int32'), [1], [2]),
    expected: [2, 3],
  },
  {
    name: 'fractions to truth values',
    covers: 'Cast',
    run: () => cast(tensor([0, 0.5, -0.2, 2]), 'bool'),
    expected: [0, 1, 1, 1],
  },
  {
    name: 'truth values to floats, transposed',
    covers: 'Cast',
    run: () => transpose(cast(tensor([1, 0, 0, 1, 1, 0], [2, 3], 'bool'), 'float32')),
    expected: [1, 1, 0, 1, 0, 0],
  },
  {
    name: 'integers to floats, transposed',
    covers: 'Cast',
    run: () => transpose(cast(tensor([1, 2, 3, 4], [2, 2], 'int32'), 'float32')),
    expected: [1, 3, 2, 4],
  },
  {
    name: 'rank 5, two axes',
    covers: 'PadV2',
    run: () =>
      pad(
        counting([1, 2, 1, 2, 1]),
        [
          [0, 0],
          [1, 0],
          [0, 0],
          [0, 1],
          [0, 0],
        ],
        9,
      ),
    expected: [9, 9, 9, 0, 1, 9, 2, 3, 9],
  },
  {
    name: 'rank 6, every axis',
    covers: 'PadV2',
    run: () =>
      pad(
        tensor([5, 6], [1, 1, 1, 1, 1, 2]),
        Array.from({ length: 6 }, (_, i): [number, number] => (i % 2 === 0 ? [1, 0] : [0, 1])),
      ),
    expected: Array.from({ length: 96 }, (_, i) => (i === 63 ? 5 : i === 64 ? 6 : 0)),
  },
  ...(['reflect', 'symmetric'] as const).map(
    (mode): KernelCase => ({
      name: `rank 5, ${mode}`,
      covers: 'MirrorPad',
      run: () =>
        mirrorPad(
          counting([1, 2, 1, 3, 1]),
          [
            [0, 0],
            [1, 0],
            [0, 0],
            [0, 2],
            [0, 0],
          ],
          mode,
        ),
      expected:
        mode === 'reflect'
          ? [3, 4, 5, 4, 3, 0, 1, 2, 1, 0, 3, 4, 5, 4, 3]
          : [0, 1, 2, 2, 1, 0, 1, 2, 2, 1, 3, 4, 5, 5, 4],
    }),
  ),
  {
    name: 'windows of negative values',
    covers: 'MaxPool3D',
    run: () => maxPool3d(tensor(image5d, [1, 2, 2, 2, 1]) as Tensor5D, 2, 1, 'same'),
    expected: [-1, -1, -1, -1, -2, -6, -2, -6],
  },
  {
    name: 'transposed convolution',
    covers: 'Conv3DBackpropInputV2',
    run: () =>
      conv3dTranspose(
        tensor([3, 4], [1, 2, 1, 1, 1]) as Tensor5D,
        tensor([1, 10], [2, 1, 1, 1, 1]) as Tensor5D,
        [1, 4, 1, 1, 1],
        [2, 1, 1],
        'valid',
      ),
    expected: transposedByHand,
  },
  {
    name: 'one-dimensional',
    covers: 'Conv2DBackpropFilter',
    run: () =>
      engine().runKernel(
        'Conv2DBackpropFilter',
        { x: tensor([1, 2, 3], [1, 1, 3, 1]), dy: tensor([1, 10], [1, 1, 2, 1]) },
        kernelAttrs({ pad: 'valid', dataFormat: 'NHWC', filterShape: [1, 2, 1, 1] }),
      ) as Tensor,
    expected: [21, 32],
  },
  {
    name: 'padded by numbers',
    covers: 'Conv2DBackpropFilter',
    run: () =>
      engine().runKernel(
        'Conv2DBackpropFilter',
        { x: tensor([1, 2], [1, 1, 2, 1]), dy: tensor([1, 10], [1, 1, 2, 1]) },
        kernelAttrs({
          pad: [
            [0, 0],
            [0, 0],
            [1, 0],
            [0, 0],
          ],
          dataFormat: 'NHWC',
          filterShape: [1, 2, 1, 1],
        }),
      ) as Tensor,
    expected: [10, 21],
  },
  {
    name: 'padded by numbers',
    covers: 'Conv2DBackpropInput',
    run: () =>
      engine().runKernel(
        'Conv2DBackpropInput',
        { dy: tensor([1, 10], [1, 1, 2, 1]), filter: tensor([2, 3], [1, 2, 1, 1]) },
        kernelAttrs({
          pad: [
            [0, 0],
            [0, 0],
            [1, 0],
            [0, 0],
          ],
          dataFormat: 'NHWC',
          inputShape: [1, 1, 2, 1],
        }),
      ) as Tensor,
    expected: [23, 30],
  },
  {
    name: 'one-dimensional',
    covers: 'DepthwiseConv2dNativeBackpropInput',
    run: () =>
      engine().runKernel(
        'DepthwiseConv2dNativeBackpropInput',
        { dy: tensor([1, 10], [1, 1, 2, 1]), filter: tensor([2, 3], [1, 2, 1, 1]) },
        kernelAttrs({ pad: 'valid', dilations: 1, inputShape: [1, 1, 3, 1] }),
      ) as Tensor,
    expected: [2, 23, 30],
  },
  {
    name: 'one-dimensional',
    covers: 'DepthwiseConv2dNativeBackpropFilter',
    run: () =>
      engine().runKernel(
        'DepthwiseConv2dNativeBackpropFilter',
        { x: tensor([1, 2, 3], [1, 1, 3, 1]), dy: tensor([1, 10], [1, 1, 2, 1]) },
        kernelAttrs({ pad: 'valid', dilations: 1, filterShape: [1, 2, 1, 1] }),
      ) as Tensor,
    expected: [21, 32],
  },
];

/** Cases whose point is not the values. */
const coveredBelow = ['TensorScatterUpdate', 'Identity'];

describe('repaired kernels', () => {
  it('have a case each', () => {
    const covered = new Set([...cases.map(({ covers }) => covers), ...coveredBelow]);
    expect(repairedKernels.filter(({ kernel }) => !covered.has(kernel))).toEqual([]);
  });
});

describeOnBackends('repaired kernels', (backend) => {
  it.each(cases.map((kernelCase) => [`${kernelCase.covers}: ${kernelCase.name}`, kernelCase] as const))(
    '%s',
    async (_, { run, expected }) => {
      await expectNoLeaks(async () => {
        const result = tidy(run);
        await expectClose(result, expected, { relative: 1e-5 });
        result.dispose();
      });
    },
  );

  it('TensorScatterUpdate leaves its input as it is', async () => {
    const target = floats([3, 2]);
    const before = await target.data();
    const result = tidy(() => tensorScatterUpdate(target, tensor([1], [1, 1], 'int32'), tensor([7, 8], [1, 2])));
    await expectClose(result, [before[0], before[1], 7, 8, before[4], before[5]]);
    await expectClose(target, Float32Array.from(before));
    for (const t of [target, result]) t.dispose();
  });

  it('Identity shares the data', async () => {
    const x = floats([4]);
    const buffers = memory().numDataBuffers;
    const same = clone(x);
    expect(memory().numDataBuffers).toBe(buffers);
    await expectClose(same, x);
    x.dispose();
    expect(memory().numDataBuffers).toBe(buffers);
    same.dispose();
    expect(memory().numDataBuffers).toBe(buffers - 1);
  });

  it('Einsum refuses what it cannot do', () => {
    if (backend === 'native') return;
    const x = floats([2, 2]);
    expect(() => einsum('ii->i', x)).toThrow('a label may occur once in a term; got "ii->i" for 1 tensor(s)');
    expect(() => einsum('...i->i', x)).toThrow('einsum: an ellipsis is not supported; got "...i->i" for 1 tensor(s)');
    expect(() => einsum('ij,jk', x, x)).toThrow('einsum: the equation must have exactly one "->"');
    expect(() => einsum('ij,jk->il', x, x)).toThrow('einsum: label l of the result must be in a term');
    expect(() => einsum('ijk->i', x)).toThrow('einsum: term 0 must have one label for each axis of [2,2]');
    expect(() => einsum('ij->i', x, x)).toThrow('einsum: each tensor must have its term');
    expect(() => einsum('ij,jk->ik', x, tensor([1, 2, 3], [3, 1]))).toThrow(
      'einsum: axis j must have one length; got 2 and 3',
    );
    x.dispose();
  });

  it('are registered once', () => {
    const name = engine().backendName;
    const kernels = repairedKernels.map(({ kernel }) => getKernel(kernel, name));
    registerRepairedKernels();
    expect(repairedKernels.map(({ kernel }) => getKernel(kernel, name))).toEqual(kernels);
  });
});
