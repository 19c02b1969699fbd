import {
  BatchToSpaceND,
  batchToSpaceND,
  Concat,
  concat,
  DepthToSpace,
  ExpandDims,
  FlipLeftRight,
  Pack,
  PadV2,
  pad,
  Reshape,
  Reverse,
  reshape,
  reverse,
  Slice,
  SpaceToBatchND,
  SplitV,
  slice,
  slice_util,
  spaceToBatchND,
  stack,
  sum,
  type Tensor,
  Tile,
  Transpose,
  transpose,
  Unpack,
  util,
  zeros,
} from '@tensorflow/tfjs-core';
import type { GradientContext, KernelGradient } from './definition.ts';

type Pairs = [number, number][];

const normalAxis = (axis: unknown, shape: number[]): number => util.parseAxisParam(axis as number, shape)[0];

function allGradients({ dys, outputs }: GradientContext): Tensor[] {
  return dys.map((dy, i) => dy ?? zeros(outputs[i].shape));
}

function concatenated({ dy, inputs, attrs }: GradientContext, input: string): Tensor {
  const { shape } = inputs[input];
  const axis = normalAxis(attrs.axis, dy.shape);
  const begin = shape.map(() => 0);
  for (const name of Object.keys(inputs)) if (Number(name) < Number(input)) begin[axis] += inputs[name].shape[axis];
  return slice(dy, begin, shape);
}

function packed({ dy, inputs, attrs }: GradientContext, input: string): Tensor {
  const axis = normalAxis(attrs.axis, dy.shape);
  const begin = dy.shape.map((_, i) => (i === axis ? Number(input) : 0));
  const size = dy.shape.map((length, i) => (i === axis ? 1 : length));
  return reshape(slice(dy, begin, size), inputs[input].shape);
}

function sliced({ dy, inputs, attrs }: GradientContext): Tensor {
  const { shape } = inputs.x;
  const input = { shape, rank: shape.length } as Tensor;
  const [begin, size] = slice_util.parseSliceParams(input, attrs.begin as number[], attrs.size as number[]);
  return pad(dy, shape.map((length, axis) => [begin[axis], length - begin[axis] - size[axis]]) as Pairs);
}

/** Adds up the copies axis by axis: at most three axes at a time, whatever the rank. */
function tiled({ dy, inputs, attrs }: GradientContext): Tensor {
  const reps = attrs.reps as number[];
  let gradient = dy;
  let shape = dy.shape;
  reps.forEach((copies, axis) => {
    if (copies === 1) return;
    const outer = util.sizeFromShape(shape.slice(0, axis));
    gradient = sum(reshape(gradient, [outer, copies, -1]), 1);
    shape = shape.map((length, i) => (i === axis ? length / copies : length));
  });
  return reshape(gradient, inputs.x.shape);
}

function depthToSpace({ dy, inputs, attrs }: GradientContext): Tensor {
  const block = attrs.blockSize as number;
  if (attrs.dataFormat === 'NCHW') {
    const [batch, , height, width] = inputs.x.shape;
    const blocks = reshape(dy, [batch, -1, height, block, width, block]);
    return reshape(transpose(blocks, [0, 3, 5, 1, 2, 4]), inputs.x.shape);
  }
  const [batch, height, width] = inputs.x.shape;
  const blocks = reshape(dy, [batch, height, block, width, block, -1]);
  return reshape(transpose(blocks, [0, 1, 3, 2, 4, 5]), inputs.x.shape);
}

const undone = (permutation: number[]): number[] => permutation.map((_, axis) => permutation.indexOf(axis));

/** Moves, joins and splits of tensors. They keep no values, only shapes. */
export const shapeGradients: KernelGradient[] = [
  { kernel: Reshape, inputs: { x: { gradient: ({ dy, inputs }) => reshape(dy, inputs.x.shape) } } },
  { kernel: ExpandDims, inputs: { input: { gradient: ({ dy, inputs }) => reshape(dy, inputs.input.shape) } } },
  { kernel: Transpose, inputs: { x: { gradient: ({ dy, attrs }) => transpose(dy, undone(attrs.perm as number[])) } } },
  { kernel: Reverse, inputs: { x: { gradient: ({ dy, attrs }) => reverse(dy, attrs.dims as number[]) } } },
  { kernel: FlipLeftRight, inputs: { image: { gradient: ({ dy }) => reverse(dy, 2) } } },
  { kernel: Concat, inputs: { '*': { gradient: concatenated } } },
  { kernel: Pack, inputs: { '*': { gradient: packed } } },
  {
    kernel: SplitV,
    inputs: { x: { gradient: (context) => concat(allGradients(context), context.attrs.axis as number) } },
  },
  {
    kernel: Unpack,
    inputs: { value: { gradient: (context) => stack(allGradients(context), context.attrs.axis as number) } },
  },
  { kernel: Slice, inputs: { x: { gradient: sliced } } },
  {
    kernel: PadV2,
    inputs: {
      x: {
        gradient: ({ dy, inputs, attrs }) =>
          slice(
            dy,
            (attrs.paddings as Pairs).map(([before]) => before),
            inputs.x.shape,
          ),
      },
    },
  },
  { kernel: Tile, inputs: { x: { gradient: tiled } } },
  {
    kernel: SpaceToBatchND,
    inputs: {
      x: {
        gradient: ({ dy, attrs }) => batchToSpaceND(dy, attrs.blockShape as number[], attrs.paddings as number[][]),
      },
    },
  },
  {
    kernel: BatchToSpaceND,
    inputs: {
      x: { gradient: ({ dy, attrs }) => spaceToBatchND(dy, attrs.blockShape as number[], attrs.crops as number[][]) },
    },
  },
  { kernel: DepthToSpace, inputs: { x: { gradient: depthToSpace } } },
];
