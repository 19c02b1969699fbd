import { canPack, type PackedValues, packedTensor } from '@rass/kernels';
import type { TensorRequest } from '@rass/nn';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Checkpoint, QuantizedData } from '../checkpoint.ts';
import { elementCount } from '../dtype/dtype.ts';
import { packCodes, unpackCodes } from '../quantized/codes.ts';
import { hwioInto } from './layout.ts';

/** Numbers of float16 that are infinite or none. */
function countNonFinite(bits: Uint16Array): number {
  let count = 0;
  for (let i = 0; i < bits.length; i++) if ((bits[i] & 0x7c00) === 0x7c00) count++;
  return count;
}

type Bits = Uint16Array<ArrayBuffer>;

const halves = (bits: Bits, { layout, checkpointShape }: TensorRequest): PackedValues => ({
  kind: 'half',
  bits: layout === 'conv2d' ? hwioInto(bits, checkpointShape, new Uint16Array(bits.length)) : bits,
});

/** Rows without what fills their last group. */
function cutCodes(codes: Uint8Array<ArrayBuffer>, rows: number, columns: number): Uint8Array<ArrayBuffer> {
  const padded = codes.length / rows;
  if (padded === columns) return codes;
  const out = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++) out.set(codes.subarray(row * padded, row * padded + columns), row * columns);
  return out;
}

/** [rows, groups] -> [groups, rows] */
function transposed(bits: Bits, rows: number): Bits {
  const groups = bits.length / rows;
  const out = new Uint16Array(bits.length);
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) out[group * rows + row] = bits[row * groups + group];
  }
  return out;
}

function quantized({ codes, scales, biases, ...options }: QuantizedData, request: TensorRequest): PackedValues {
  const { layout, checkpointShape } = request;
  const [rows] = checkpointShape;
  const columns = elementCount(checkpointShape) / rows;
  const isWhole = columns % options.groupSize === 0;
  if (layout === 'same' && isWhole) return { kind: 'affine', layout: 'oi', ...options, codes, scales, biases };
  const own = cutCodes(unpackCodes(codes, options.bits), rows, columns);
  if (layout === 'same') {
    return { kind: 'affine', layout: 'oi', ...options, codes: packCodes(own, options.bits), scales, biases };
  }
  return {
    kind: 'affine',
    layout: 'hwio',
    ...options,
    codes: packCodes(hwioInto(own, checkpointShape, new Uint8Array(own.length)), options.bits),
    scales: transposed(scales, rows),
    biases: transposed(biases, rows),
  };
}

/** A tensor that stays in memory as it is stored; undefined where it is stored in another way, or the backend cannot. */
export async function readPacked(
  checkpoint: Checkpoint,
  request: TensorRequest,
  signal?: AbortSignal,
): Promise<{ tensor: Tensor; nonFinite: number } | undefined> {
  const { key, shape, checkpointShape } = request;
  if (checkpoint.info(key).dtype === 'F16' && canPack('half', shape)) {
    const bits = (await checkpoint.read(key, { signal })).data as Bits;
    return { tensor: packedTensor(halves(bits, request), shape), nonFinite: countNonFinite(bits) };
  }
  // Parameters that are no weights of a layer have other axes for their outputs.
  if (!canPack('affine', shape) || (request.layout === 'same' && checkpointShape.length !== 2)) return undefined;
  const stored = await checkpoint.readQuantized?.(key, { signal });
  if (stored === undefined) return undefined;
  const nonFinite = countNonFinite(stored.scales) + countNonFinite(stored.biases);
  return { tensor: packedTensor(quantized(stored, request), shape), nonFinite };
}
