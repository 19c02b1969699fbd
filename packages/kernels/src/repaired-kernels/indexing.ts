import {
  add,
  backend,
  Cast,
  cast,
  GatherV2,
  gather,
  greaterEqual,
  less,
  logicalAnd,
  mul,
  notEqual,
  range,
  reshape,
  scalar,
  scatterND,
  type Tensor,
  TensorScatterUpdate,
  tile,
  transpose,
  UnsortedSegmentSum,
  util,
} from '@tensorflow/tfjs-core';
import { everywhereButNative, type KernelCall, nativeName, type RepairedKernel } from './definition.ts';

const sizeOf = util.sizeFromShape;

/** Rows outside 0..segments-1 are dropped: they are added to segment 0 as zeros. */
function segmentSum({ inputs: { x, segmentIds }, attrs }: KernelCall): Tensor {
  const segments = attrs.numSegments as number;
  const rest = x.shape.slice(segmentIds.rank);
  const rows = reshape(x, [segmentIds.size, sizeOf(rest)]);
  const ids = reshape(segmentIds, [segmentIds.size, 1]);
  const kept = logicalAnd(greaterEqual(ids, scalar(0, 'int32')), less(ids, scalar(segments, 'int32')));
  const targets = mul(ids, cast(kept, 'int32'));
  const sums = scatterND(targets, mul(rows, cast(kept, x.dtype)), [segments, sizeOf(rest)]);
  return reshape(sums, [segments, ...rest]);
}

/** One gather over all the batches, at indices moved to each batch's own rows. */
function batchedGather({ inputs: { x, indices }, attrs }: KernelCall): Tensor {
  const batchDims = attrs.batchDims as number;
  const axis = util.parseAxisParam(attrs.axis as number, x.shape)[0];
  const batchShape = x.shape.slice(0, batchDims);
  const [batch, outer, rows] = [sizeOf(batchShape), x.shape.slice(batchDims, axis), x.shape[axis]];
  const inner = x.shape.slice(axis + 1);
  const picks = indices.shape.slice(batchDims);
  const flat = reshape(transpose(reshape(x, [batch, sizeOf(outer), rows, sizeOf(inner)]), [0, 2, 1, 3]), [
    batch * rows,
    sizeOf(outer) * sizeOf(inner),
  ]);
  const firstRows = reshape(mul(range(0, batch, 1, 'int32'), scalar(rows, 'int32')), [batch, 1]);
  const at = reshape(add(reshape(indices, [batch, sizeOf(picks)]), firstRows), [batch * sizeOf(picks)]);
  const picked = reshape(gather(flat, cast(at, 'int32')), [batch, sizeOf(picks), sizeOf(outer), sizeOf(inner)]);
  return reshape(transpose(picked, [0, 2, 1, 3]), [...batchShape, ...outer, ...picks, ...inner]);
}

/** The values of a tensor that came from the host; undefined where only the device has them. */
function hostValues(x: Tensor): ArrayLike<number> | undefined {
  const { tensorMap } = backend() as { tensorMap?: { get(id: object): { values?: ArrayLike<number> | null } } };
  return tensorMap?.get(x.dataId)?.values ?? undefined;
}

/** The shader reads zeros at indices that are out of range. Those that only the device has cannot be looked at. */
function checkedGather({ inputs: { x, indices }, attrs, original }: KernelCall): Tensor {
  const axis = util.parseAxisParam(attrs.axis as number, x.shape)[0];
  const last = x.shape[axis] - 1;
  for (const index of Array.from(hostValues(indices) ?? [])) {
    if (index >= 0 && index <= last) continue;
    throw new Error(
      `gather: indices along axis ${axis} of [${x.shape}] are from 0 to ${last}; got ${index}; check the indices`,
    );
  }
  return original();
}

/** The cpu kernel writes its result over its first input; it is given a copy. */
function scatterIntoCopy({ inputs, original }: KernelCall): Tensor {
  const { tensor } = inputs;
  const copy =
    tensor.rank === 0
      ? reshape(tile(reshape(tensor, [1]), [1]), [])
      : tile(
          tensor,
          tensor.shape.map(() => 1),
        );
  return original({ inputs: { ...inputs, tensor: copy } });
}

/** Repairs of picking and placing elements. */
export const repairedIndexing: RepairedKernel[] = [
  // Missing on wasm, quadratic on cpu, slow on WebGPU.
  { kernel: UnsortedSegmentSum, backends: everywhereButNative, run: segmentSum },
  {
    kernel: GatherV2,
    backends: ['wasm'],
    applies: ({ attrs }) => Number(attrs.batchDims ?? 0) > 0,
    run: batchedGather,
  },
  { kernel: GatherV2, backends: ['webgpu'], run: checkedGather },
  {
    kernel: GatherV2,
    backends: [nativeName],
    applies: ({ attrs }) => (attrs.axis as number) < 0,
    run: ({ inputs, attrs, original }) =>
      original({ attrs: { ...attrs, axis: inputs.x.rank + (attrs.axis as number) } }),
  },
  {
    // wasm cuts a float off to a byte on its way to bool, so that 0.5 becomes false.
    kernel: Cast,
    backends: ['wasm'],
    applies: ({ inputs: { x }, attrs }) => attrs.dtype === 'bool' && x.dtype !== 'bool',
    run: ({ inputs: { x } }) => notEqual(x, scalar(0, x.dtype)),
  },
  { kernel: TensorScatterUpdate, backends: ['cpu'], run: scatterIntoCopy },
];
