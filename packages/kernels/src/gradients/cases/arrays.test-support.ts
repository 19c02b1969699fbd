import {
  add,
  batchToSpaceND,
  broadcastTo,
  cast,
  concat,
  cumprod,
  cumsum,
  depthToSpace,
  diag,
  expandDims,
  floor,
  gather,
  gatherND,
  greater,
  image,
  max,
  mean,
  min,
  mirrorPad,
  moments,
  mul,
  oneHot,
  pad,
  prod,
  reshape,
  reverse,
  scatterND,
  slice,
  spaceToBatchND,
  split,
  square,
  stack,
  stridedSlice,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
  tensorScatterUpdate,
  tile,
  topk,
  transpose,
  unsortedSegmentSum,
  unstack,
  where,
} from '@tensorflow/tfjs-core';
import { distinct, type GradientCase, given, indices, mask, uniform } from './case.test-support.ts';

const one = (name: string, covers: string[], shape: number[], f: (x: Tensor) => Tensor): GradientCase => ({
  name,
  covers,
  inputs: [uniform(shape)],
  f,
});

const separate = (name: string, covers: string[], shape: number[], f: (x: Tensor) => Tensor): GradientCase => ({
  name,
  covers,
  inputs: [distinct(shape)],
  f,
});

const reductionCases: GradientCase[] = [
  one('Sum of all', ['Sum'], [2, 3, 2], (x) => sum(square(x))),
  one('Sum over the middle axis', ['Sum'], [2, 3, 2], (x) => sum(x, 1)),
  one('Sum over a negative axis, kept', ['Sum'], [2, 3, 2], (x) => sum(x, [-1, 0], true)),
  one('Mean of all', ['Mean'], [2, 3, 2], (x) => mean(square(x))),
  one('Mean over axes', ['Mean'], [2, 3, 4], (x) => mean(x, [0, -1])),
  one('Mean over one axis, kept', ['Mean'], [2, 3, 4], (x) => mean(x, 1, true)),
  one('moments', ['Mean', 'Square'], [3, 5], (x) => moments(x, 1).variance),
  separate('Max of all', ['Max'], [2, 3, 2], (x) => max(x)),
  separate('Max over axes', ['Max'], [2, 3, 4], (x) => max(x, [0, 2])),
  separate('Max over a negative axis, kept', ['Max'], [2, 3, 4], (x) => max(x, -2, true)),
  separate('Min over one axis', ['Min'], [2, 3, 4], (x) => min(x, 1)),
  separate('Min of all', ['Min'], [5], (x) => min(x)),
  one('Prod of all', ['Prod'], [2, 3], (x) => prod(x)),
  one('Prod over a negative axis', ['Prod'], [2, 3], (x) => prod(x, -1)),
  one('Prod over two axes, kept', ['Prod'], [2, 3, 2], (x) => prod(x, [0, 2], true)),
  {
    name: 'Prod with zeros',
    covers: ['Prod'],
    inputs: [given([3, 3], [0.5, 0, 0.7, 0, 0, 0.4, 0.3, 0.6, 0.9])],
    f: (x) => prod(x, 1),
  },
  one('Cumsum over the first axis', ['Cumsum'], [3, 4], (x) => cumsum(x, 0)),
  one('Cumsum over the last axis, exclusive and reversed', ['Cumsum'], [3, 4], (x) => cumsum(x, -1, true, true)),
  one('Cumsum over the middle axis', ['Cumsum'], [2, 3, 2], (x) => cumsum(x, 1, true)),
  one('Cumprod', ['Cumprod'], [2, 4], (x) => cumprod(x, 1)),
  one('Cumprod, exclusive and reversed', ['Cumprod'], [4, 2], (x) => cumprod(x, 0, true, true)),
  ...[
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ].map(
    ([exclusive, reversed]): GradientCase => ({
      name: `Cumprod with zeros, exclusive ${exclusive}, reversed ${reversed}`,
      covers: ['Cumprod'],
      inputs: [given([3, 4], [0.5, 0, 0.7, 0.9, 0, 0.4, 0, 0.6, 0.9, 1.2, 0.8, 0])],
      f: (x) => cumprod(x, 1, exclusive, reversed),
    }),
  ),
];

const shapeCases: GradientCase[] = [
  one('Reshape', ['Reshape'], [2, 6], (x) => square(reshape(x, [3, 4]))),
  one('ExpandDims', ['ExpandDims'], [2, 3], (x) => square(expandDims(x, 1))),
  one('Transpose', ['Transpose'], [2, 3, 4], (x) => square(transpose(x, [2, 0, 1]))),
  one('Reverse', ['Reverse'], [2, 3, 2], (x) => square(reverse(x, [0, -1]))),
  one('FlipLeftRight', ['FlipLeftRight'], [2, 2, 3, 2], (x) => square(image.flipLeftRight(x as Tensor4D))),
  one('Slice', ['Slice'], [4, 5], (x) => slice(x, [1, 2], [2, -1])),
  one('Slice by one number', ['Slice'], [4, 3], (x) => slice(x, 1, 2)),
  one('Slice of rank 5', ['Slice'], [2, 2, 3, 2, 2], (x) => slice(x, [0, 1, 1, 0, 1], [2, 1, 2, 1, 1])),
  one('PadV2', ['PadV2'], [2, 3], (x) =>
    square(
      pad(
        x,
        [
          [1, 0],
          [2, 1],
        ],
        0.5,
      ),
    ),
  ),
  one('Tile', ['Tile'], [2, 3], (x) => tile(x, [2, 3])),
  one('Tile of rank 5', ['Tile'], [2, 1, 2, 1, 2], (x) => tile(x, [1, 3, 2, 2, 1])),
  one('broadcastTo', ['Tile'], [3, 1], (x) => broadcastTo(x, [2, 3, 4])),
  one('SplitV', ['SplitV'], [2, 6], (x) => {
    const [a, b, c] = split(x, [1, 2, 3], 1);
    return concat([square(c), mul(a, 2), b], 1);
  }),
  one('SplitV, one part used', ['SplitV'], [6, 2], (x) => square(split(x, 3, 0)[1])),
  one('Unpack', ['Unpack'], [3, 2], (x) => {
    const [a, b, c] = unstack(x, 0);
    return add(mul(a, c), b);
  }),
  one('Unpack, one part used', ['Unpack'], [2, 3], (x) => square(unstack(x, -1)[1])),
  {
    name: 'Concat',
    covers: ['Concat'],
    inputs: [uniform([2, 1, 2]), uniform([2, 3, 2], { seed: 2 }), uniform([2, 2, 2], { seed: 3 })],
    f: (a, b, c) => square(concat([a, b, c], 1)),
  },
  {
    name: 'Concat on a negative axis, one tensor twice',
    covers: ['Concat'],
    inputs: [uniform([2, 2]), uniform([2, 1], { seed: 2 })],
    f: (a, b) => square(concat([a, b, a], -1)),
  },
  {
    name: 'Pack',
    covers: ['Pack'],
    inputs: [uniform([2, 3]), uniform([2, 3], { seed: 2 })],
    f: (a, b) => square(stack([a, b], 1)),
  },
  {
    name: 'Pack at the end',
    covers: ['Pack'],
    inputs: [uniform([3]), uniform([3], { seed: 2 })],
    f: (a, b) => stack([a, b], -1),
  },
  one('SpaceToBatchND', ['SpaceToBatchND'], [1, 4, 3, 2], (x) =>
    spaceToBatchND(
      x,
      [2, 2],
      [
        [0, 0],
        [0, 1],
      ],
    ),
  ),
  one('BatchToSpaceND', ['BatchToSpaceND'], [4, 2, 2, 1], (x) =>
    batchToSpaceND(
      x,
      [2, 2],
      [
        [0, 0],
        [0, 1],
      ],
    ),
  ),
  one('DepthToSpace', ['DepthToSpace'], [2, 2, 3, 8], (x) => square(depthToSpace(x as Tensor4D, 2))),
];

const slicingCases: GradientCase[] = [
  one('StridedSlice', ['StridedSlice'], [5, 6], (x) => stridedSlice(x, [0, 1], [5, 6], [2, 3])),
  one('StridedSlice backwards', ['StridedSlice'], [5, 6], (x) => stridedSlice(x, [4, -1], [0, 0], [-2, -1])),
  one('StridedSlice with masks', ['StridedSlice'], [3, 4, 2], (x) =>
    stridedSlice(x, [1, 1, 0], [2, 3, 1], [1, 1, 1], 2, 4, 0, 0, 1),
  ),
  one('StridedSlice with an ellipsis and a new axis', ['StridedSlice'], [3, 4, 2], (x) =>
    stridedSlice(x, [0, 0, 1], [0, 0, 2], [1, 1, 1], 0, 0, 1, 2, 0),
  ),
  ...(['reflect', 'symmetric'] as const).map((mode) =>
    one(`MirrorPad ${mode}`, ['MirrorPad'], [3, 4, 2], (x) =>
      mirrorPad(
        x,
        [
          [2, 1],
          [0, 3],
          [1, 1],
        ],
        mode,
      ),
    ),
  ),
];

const scatterTargets = indices([3, 1], [4, 0, 2]);

const indexingCases: GradientCase[] = [
  {
    name: 'GatherV2',
    covers: ['GatherV2'],
    inputs: [uniform([4, 3]), indices([5], [0, 2, 2, 3, 0])],
    f: (x, i) => gather(x, i),
  },
  {
    name: 'GatherV2 along the last axis',
    covers: ['GatherV2'],
    inputs: [uniform([2, 3, 4]), indices([2, 2], [3, 0, 3, 1])],
    f: (x, i) => gather(x, i, -1),
  },
  {
    name: 'GatherV2 along the middle axis',
    covers: ['GatherV2'],
    inputs: [uniform([2, 3, 4]), indices([2], [2, 2])],
    f: (x, i) => gather(x, i, 1),
  },
  {
    name: 'GatherV2 in batches',
    covers: ['GatherV2'],
    inputs: [uniform([2, 3, 2]), indices([2, 4], [0, 2, 1, 1, 2, 2, 0, 1])],
    f: (x, i) => gather(x, i, 1, 1),
  },
  {
    name: 'GatherV2 in batches, with an axis between',
    covers: ['GatherV2'],
    inputs: [uniform([2, 2, 3, 2]), indices([2, 2], [0, 2, 1, 1])],
    f: (x, i) => gather(x, i, 2, 1),
  },
  {
    name: 'GatherV2 at positions that hang on x',
    covers: ['GatherV2', 'Floor', 'Cast'],
    inputs: [uniform([5, 2]), given([3], [0.4, 2.7, 1.3])],
    f: (x, at) => {
      const below = floor(at);
      const fraction = expandDims(sub(at, below), 1);
      const i = cast(below, 'int32');
      const [low, high] = [gather(x, i), gather(x, cast(add(below, 1), 'int32'))];
      return add(mul(low, sub(1, fraction)), mul(high, fraction));
    },
  },
  {
    name: 'GatherNd',
    covers: ['GatherNd'],
    inputs: [uniform([3, 4, 2]), indices([3, 2], [0, 1, 2, 3, 0, 1])],
    f: (x, i) => gatherND(x, i),
  },
  {
    name: 'ScatterNd',
    covers: ['ScatterNd'],
    inputs: [uniform([3, 2]), scatterTargets],
    f: (x, i) => square(scatterND(i, x, [5, 2])),
  },
  {
    name: 'TensorScatterUpdate',
    covers: ['TensorScatterUpdate'],
    inputs: [uniform([5, 2]), uniform([3, 2], { seed: 2 }), scatterTargets],
    f: (x, updates, i) => square(tensorScatterUpdate(x, i, updates)),
  },
  {
    name: 'UnsortedSegmentSum',
    covers: ['UnsortedSegmentSum'],
    inputs: [uniform([4, 2]), indices([4], [2, 0, 2, 1])],
    f: (x, i) => square(unsortedSegmentSum(x, i as Tensor1D, 3)),
  },
  {
    name: 'Select',
    covers: ['Select'],
    inputs: [mask([2, 3], [1, 0, 1, 1, 0, 0]), uniform([2, 3]), uniform([3], { seed: 2 })],
    f: (condition, a, b) => square(where(condition, a, b)),
  },
  {
    name: 'Select by a comparison',
    covers: ['Select'],
    inputs: [distinct([4, 3])],
    f: (x) => where(greater(x, 0), square(x), mul(x, 3)),
  },
  { name: 'TopK', covers: ['TopK'], inputs: [distinct([2, 3, 5])], f: (x) => square(topk(x, 3).values) },
  one('Diag', ['Diag'], [4], (x) => square(diag(x))),
  one('Diag of a matrix', ['Diag'], [2, 3], (x) => diag(x)),
  {
    name: 'OneHot',
    covers: ['OneHot'],
    inputs: [given([3], [0.4, 2.7, 1.3]), uniform([3, 4])],
    f: (at, x) => add(mul(oneHot(cast(floor(at), 'int32'), 4), x), expandDims(at, 1)),
  },
];

/** Reductions, and moving, joining, picking and placing elements. */
export const arrayCases: GradientCase[] = [...reductionCases, ...shapeCases, ...slicingCases, ...indexingCases];
