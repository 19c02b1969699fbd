import { bitsOf, bytesOf, type Dtype, elementCount, type TensorArray, viewAs } from '../dtype/dtype.ts';
import { PickleError } from '../pickle/pickle-error.ts';
import type { TensorSigns } from '../pickle/values.ts';
import { applySigns } from './signs.ts';

/** A tensor as a view of bytes that can be read by range. */
export interface StridedTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** In elements. */
  readonly stride: readonly number[];
  readonly offset: number;
  readonly bigEndian: boolean;
  readonly signs?: TensorSigns;
  /** Length of the storage. */
  readonly byteLength: number;
  /** Reads bytes of the storage. */
  readonly read: (start: number, end: number, signal?: AbortSignal) => Promise<Uint8Array<ArrayBuffer>>;
}

// A tensor with strides of 0 repeats few bytes without end; an expanded bias or mask stays far below this.
const MAX_EXPANDED_BYTES = 1 << 28;

/** The storage's elements that the tensor uses: [first, last). Empty for a tensor without elements. */
function span({ shape, stride, offset }: StridedTensor): [number, number] {
  if (shape.includes(0)) return [offset, offset];
  return [offset, offset + 1 + shape.reduce((sum, size, axis) => sum + (size - 1) * stride[axis], 0)];
}

/** Checks that a tensor stays inside its storage and does not stretch it beyond reason. @throws PickleError `BadTensor` */
export function checkStrided(where: string, tensor: StridedTensor): void {
  const width = bitsOf(tensor.dtype) / 8;
  const [, last] = span(tensor);
  const total = elementCount(tensor.shape) * width;
  if (!Number.isSafeInteger(last * width) || last * width > tensor.byteLength) {
    throw new PickleError(
      'BadTensor',
      `${where}: a tensor lies inside its storage; got elements up to ${last} of ${tensor.byteLength / width}`,
    );
  }
  if (total > Math.max(tensor.byteLength, MAX_EXPANDED_BYTES)) {
    throw new PickleError(
      'BadTensor',
      `${where}: a tensor that repeats its storage has at most ${MAX_EXPANDED_BYTES} bytes; got ${total}`,
    );
  }
}

function isContiguous({ shape, stride }: StridedTensor): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}

function swapBytes(bytes: Uint8Array, width: number): void {
  for (let i = 0; i < bytes.length; i += width) bytes.subarray(i, i + width).reverse();
}

type Words =
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>;

function wordsOf(bytes: Uint8Array<ArrayBuffer>, width: number): Words {
  if (width === 1) return bytes;
  if (width === 2) return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  if (width === 4) return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  return new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
}

/** Copies a strided view to row-major order. */
function gather(source: Words, target: Words, shape: readonly number[], stride: readonly number[]): void {
  const rank = shape.length;
  const index = new Array<number>(rank).fill(0);
  let from = 0;
  for (let to = 0; to < target.length; to++) {
    target[to] = source[from];
    for (let axis = rank - 1; axis >= 0; axis--) {
      from += stride[axis];
      if (++index[axis] < shape[axis]) break;
      from -= stride[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

/** A tensor's elements, row-major and little-endian. Only the part of the storage that it uses is read. */
export async function readStrided(tensor: StridedTensor, signal?: AbortSignal): Promise<TensorArray> {
  const { dtype, shape, stride, bigEndian } = tensor;
  const width = bitsOf(dtype) / 8;
  const [first, last] = span(tensor);
  const bytes = await tensor.read(first * width, last * width, signal);
  // A complex number is two floats, each in the byte order of the file.
  if (bigEndian) swapBytes(bytes, dtype === 'C64' ? 4 : width);
  if (isContiguous(tensor)) return signed(tensor, bytes);
  const out = new Uint8Array(elementCount(shape) * width);
  gather(wordsOf(bytes, width), wordsOf(bytesOf(out), width), shape, stride);
  return signed(tensor, out);
}

function signed({ dtype, signs }: StridedTensor, bytes: Uint8Array<ArrayBuffer>): TensorArray {
  if (signs !== undefined) applySigns(dtype, bytes, signs);
  return viewAs(dtype, bytes);
}
