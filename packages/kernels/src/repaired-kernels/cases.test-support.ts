import {
  add,
  addN,
  cast,
  conv3dTranspose,
  cumprod,
  cumsum,
  engine,
  gather,
  isNaN as isNotANumber,
  maxPool3d,
  mirrorPad,
  pad,
  prelu,
  round,
  slice,
  type Tensor,
  type Tensor1D,
  type Tensor5D,
  tensor,
  transpose,
  unsortedSegmentSum,
} from '@tensorflow/tfjs-core';
import { convolutionCases } from './convolutions.test-support.ts';
import { counting, type KernelCase, productCases } from './products.test-support.ts';

/** The convolution's transpose, kernel [2, 1, 1, 1, 1] = (1, 10), stride (2, 1, 1), on depths (3, 4). */
const transposedByHand = [3, 30, 4, 40];

const image5d = [-3, -1, -4, -1, -5, -9, -2, -6];

function kernelAttrs(extra: Record<string, unknown>): never {
  return { strides: 1, dimRoundingMode: undefined, ...extra } as never;
}

/** Calls of every repaired kernel whose point is its values. */
export const kernelCases: KernelCase[] = [
  {
    name: 'integers stay as they are',
    covers: 'Round',
    run: () => round(tensor([3, 0, -7], [3], 'int32')),
    expected: [3, 0, -7],
  },
  ...productCases,
  ...convolutionCases,
  {
    name: 'weights of the rows',
    covers: 'Prelu',
    run: () => prelu(tensor([-1, 2, -3, -4], [2, 2]), tensor([10, 100], [2, 1])),
    expected: [-10, 2, -300, -400],
  },
  {
    name: 'nine addends',
    covers: 'AddN',
    run: () => addN(Array.from({ length: 9 }, (_, i) => tensor([i, 1]))),
    expected: [36, 9],
  },
  {
    name: 'NaN, and another number after it',
    covers: 'PadV2',
    run: () => {
      const places = cast(isNotANumber(pad(tensor([1, 2]), [[1, 0]], Number.NaN)), 'float32');
      return add(places, pad(tensor([1, 2]), [[0, 1]], 5));
    },
    expected: [2, 2, 5],
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
