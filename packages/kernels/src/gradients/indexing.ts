import {
  add,
  broadcastTo,
  cast,
  concat,
  Diag,
  GatherNd,
  GatherV2,
  gather,
  gatherND,
  greaterEqual,
  logicalNot,
  maximum,
  mul,
  OneHot,
  pad,
  range,
  reshape,
  ScatterNd,
  Select,
  scalar,
  scatterND,
  slice,
  type Tensor,
  TensorScatterUpdate,
  TopK,
  tensorScatterUpdate,
  transpose,
  UnsortedSegmentSum,
  util,
  zeros,
} from '@tensorflow/tfjs-core';
import type { GradientContext, KernelGradient } from './definition.ts';

const sizeOf = util.sizeFromShape;

/** Row numbers 0..rows-1, each repeated `times` times. @shape [rows * times, 1] */
function repeatedRows(rows: number, times: number): Tensor {
  return reshape(broadcastTo(reshape(range(0, rows, 1, 'int32'), [rows, 1]), [rows, times]), [rows * times, 1]);
}

/** Adds dy up into the rows it was gathered from. Scattering beats UnsortedSegmentSum, which is quadratic on cpu,
 * slow on WebGPU and missing on wasm. */
function gathered({ dy, saved: { indices }, inputs, attrs }: GradientContext): Tensor {
  const { shape } = inputs.x;
  const axis = util.parseAxisParam(attrs.axis as number, shape)[0];
  const batchDims = (attrs.batchDims as number | undefined) ?? 0;
  const batch = sizeOf(shape.slice(0, batchDims));
  const outer = sizeOf(shape.slice(batchDims, axis));
  const inner = sizeOf(shape.slice(axis + 1));
  const rows = shape[axis];
  const picks = indices.size / batch;
  const picked = transpose(reshape(dy, [batch, outer, picks, inner]), [0, 2, 1, 3]);
  const flat = reshape(cast(indices, 'int32'), [batch * picks, 1]);
  const target = batch === 1 ? flat : add(flat, mul(repeatedRows(batch, picks), scalar(rows, 'int32')));
  const scattered = scatterND(target, reshape(picked, [batch * picks, outer * inner]), [batch * rows, outer * inner]);
  return reshape(transpose(reshape(scattered, [batch, rows, outer, inner]), [0, 2, 1, 3]), shape);
}

/** Rows whose segment is negative were dropped: their gradient is zero. */
function segmentSum({ dy, saved: { segmentIds }, inputs }: GradientContext): Tensor {
  const zero = scalar(0, 'int32');
  const rows = gather(dy, maximum(segmentIds, zero));
  const kept = reshape(cast(greaterEqual(segmentIds, zero), 'float32'), [
    ...segmentIds.shape,
    ...dy.shape.slice(1).map(() => 1),
  ]);
  return reshape(mul(rows, kept), inputs.x.shape);
}

function topValues({ dys: [dy], saved: { output1 }, inputs }: GradientContext): Tensor {
  const { shape } = inputs.x;
  const length = shape[shape.length - 1];
  const count = output1.shape[output1.rank - 1];
  const rows = sizeOf(shape) / length;
  const positions = concat([repeatedRows(rows, count), reshape(cast(output1, 'int32'), [-1, 1])], 1);
  return reshape(scatterND(positions, reshape(dy as Tensor, [-1]), [rows, length]), shape);
}

/** The elements which diag put on the diagonal. */
function diagonal({ dy, inputs }: GradientContext): Tensor {
  const { shape } = inputs.x;
  const size = sizeOf(shape);
  // In a row of the flattened square, the diagonal comes every size + 1 elements.
  const rows = pad(reshape(dy, [size * size]), [[0, size]]);
  return reshape(slice(reshape(rows, [size, size + 1]), [0, 0], [size, 1]), shape);
}

/** Picking, placing and choosing elements. Indices and conditions carry no gradient. */
export const indexingGradients: KernelGradient[] = [
  { kernel: GatherV2, inputs: { x: { reads: ['indices'], gradient: gathered }, indices: 'zero' } },
  {
    kernel: GatherNd,
    inputs: {
      params: {
        reads: ['indices'],
        gradient: ({ dy, saved, inputs }) => scatterND(saved.indices, dy, inputs.params.shape),
      },
      indices: 'zero',
    },
  },
  {
    kernel: ScatterNd,
    inputs: {
      updates: { reads: ['indices'], gradient: ({ dy, saved }) => gatherND(dy, saved.indices) },
      indices: 'zero',
    },
  },
  {
    kernel: TensorScatterUpdate,
    inputs: {
      tensor: {
        reads: ['indices'],
        gradient: ({ dy, saved, inputs }) => tensorScatterUpdate(dy, saved.indices, zeros(inputs.updates.shape)),
      },
      updates: { reads: ['indices'], gradient: ({ dy, saved }) => gatherND(dy, saved.indices) },
      indices: 'zero',
    },
  },
  { kernel: UnsortedSegmentSum, inputs: { x: { reads: ['segmentIds'], gradient: segmentSum }, segmentIds: 'zero' } },
  {
    kernel: Select,
    inputs: {
      condition: 'zero',
      t: { reads: ['condition'], gradient: ({ dy, saved }) => mul(dy, cast(saved.condition, 'float32')) },
      e: { reads: ['condition'], gradient: ({ dy, saved }) => mul(dy, cast(logicalNot(saved.condition), 'float32')) },
    },
  },
  { kernel: TopK, inputs: { x: { reads: ['output1'], gradient: topValues } } },
  { kernel: OneHot, inputs: { indices: 'zero' } },
  { kernel: Diag, inputs: { x: { gradient: diagonal } } },
];
