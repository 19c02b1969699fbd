import { WeightsError } from '../error.ts';

// In the order of safetensors' own list, which is by alignment: files are laid out from the last to the first.
const BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** An element type, named as safetensors names it. */
export type Dtype = keyof typeof BITS;

/** Every element type, in the order of growing alignment in which safetensors lists them. */
export const DTYPES: readonly Dtype[] = Object.keys(BITS) as Dtype[];

/** What a tensor of each type is read into. F16, BF16 and the 8-bit floats come as their bits, F4 and F6 packed. */
export type TensorArray =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(BITS, name);
}

/** Bits of one element: 4 and 6 for the packed types. */
export function bitsOf(dtype: Dtype): number {
  return BITS[dtype];
}

/** Number of elements of a shape; 1 for a scalar's []. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of a tensor. @throws WeightsError `Misaligned` when a packed type does not fill whole bytes */
export function byteLengthOf(dtype: Dtype, shape: readonly number[]): number {
  const bits = elementCount(shape) * BITS[dtype];
  if (bits % 8 === 0) return bits / 8;
  throw new WeightsError(
    'Misaligned',
    `dtype: a packed tensor fills whole bytes; got ${dtype} [${shape.join(', ')}], ${bits} bits`,
  );
}

/** The bytes of a tensor as an array of its type: a view of the same memory. The bytes lie at a multiple of its size. */
export function viewAs(dtype: Dtype, bytes: Uint8Array<ArrayBuffer>): TensorArray {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (dtype) {
    case 'F64':
      return new Float64Array(buffer, byteOffset, byteLength / 8);
    case 'F32':
    case 'C64':
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case 'I64':
      return new BigInt64Array(buffer, byteOffset, byteLength / 8);
    case 'U64':
      return new BigUint64Array(buffer, byteOffset, byteLength / 8);
    case 'I32':
      return new Int32Array(buffer, byteOffset, byteLength / 4);
    case 'U32':
      return new Uint32Array(buffer, byteOffset, byteLength / 4);
    case 'I16':
      return new Int16Array(buffer, byteOffset, byteLength / 2);
    case 'U16':
    case 'F16':
    case 'BF16':
      return new Uint16Array(buffer, byteOffset, byteLength / 2);
    case 'I8':
      return new Int8Array(buffer, byteOffset, byteLength);
    default:
      return bytes;
  }
}

/** An array's own bytes, without a copy. */
export function bytesOf(array: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
}
