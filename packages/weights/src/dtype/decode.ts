import { alignedFloats } from '@rass/kernels';
import { WeightsError } from '../error.ts';
import { bytesOf, type Dtype, elementCount, type TensorArray } from './dtype.ts';

/** The layout of a small float: its bits are sign, exponent, mantissa from the top. */
export interface SmallFloat {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /** What the largest exponent means: infinities and NaNs, one NaN of all ones, NaN at negative zero, or numbers. */
  readonly special: 'ieee' | 'allOnesNaN' | 'negativeZeroNaN' | 'none';
}

/** @source IEEE 754 (F16); OCP 8-bit floating point 1.0 and Microscaling formats 1.0; arXiv 2206.02915 (FNUZ) */
export const SMALL_FLOATS = {
  F16: { exponentBits: 5, mantissaBits: 10, bias: 15, special: 'ieee' },
  F8_E5M2: { exponentBits: 5, mantissaBits: 2, bias: 15, special: 'ieee' },
  F8_E4M3: { exponentBits: 4, mantissaBits: 3, bias: 7, special: 'allOnesNaN' },
  F8_E5M2FNUZ: { exponentBits: 5, mantissaBits: 2, bias: 16, special: 'negativeZeroNaN' },
  F8_E4M3FNUZ: { exponentBits: 4, mantissaBits: 3, bias: 8, special: 'negativeZeroNaN' },
  F6_E3M2: { exponentBits: 3, mantissaBits: 2, bias: 3, special: 'none' },
  F6_E2M3: { exponentBits: 2, mantissaBits: 3, bias: 1, special: 'none' },
  F4: { exponentBits: 2, mantissaBits: 1, bias: 1, special: 'none' },
} as const satisfies Partial<Record<Dtype, SmallFloat>>;

type SmallFloatName = keyof typeof SMALL_FLOATS;

function decodeOne(code: number, { exponentBits, mantissaBits, bias, special }: SmallFloat): number {
  const negative = code >> (exponentBits + mantissaBits) !== 0;
  const exponent = (code >> mantissaBits) & ((1 << exponentBits) - 1);
  const mantissa = code & ((1 << mantissaBits) - 1);
  const top = (1 << exponentBits) - 1;
  if (special === 'ieee' && exponent === top) {
    if (mantissa !== 0) return Number.NaN;
    return negative ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  if (special === 'allOnesNaN' && exponent === top && mantissa === (1 << mantissaBits) - 1) return Number.NaN;
  if (special === 'negativeZeroNaN' && negative && exponent === 0 && mantissa === 0) return Number.NaN;
  const fraction = mantissa / 2 ** mantissaBits;
  const magnitude = exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
  return negative ? -magnitude : magnitude;
}

const tables = new Map<SmallFloatName, Uint32Array>();

/** The float32 bits of every code of a small float. Bits, because a NaN's may not survive being a number. */
function tableOf(name: SmallFloatName): Uint32Array {
  const known = tables.get(name);
  if (known !== undefined) return known;
  const format: SmallFloat = SMALL_FLOATS[name];
  const count = 1 << (1 + format.exponentBits + format.mantissaBits);
  const values = Float32Array.from({ length: count }, (_, code) => decodeOne(code, format));
  const table = new Uint32Array(values.buffer);
  tables.set(name, table);
  return table;
}

/** Every value of a small float, by its code. */
export function smallFloatValues(name: SmallFloatName): Float32Array<ArrayBuffer> {
  return new Float32Array(tableOf(name).slice().buffer);
}

const bitsOf = ({ buffer, byteOffset, length }: Float32Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, length);

function lookUp(codes: ArrayLike<number>, table: Uint32Array): Float32Array<ArrayBuffer> {
  const values = alignedFloats(codes.length);
  const bits = bitsOf(values);
  for (let i = 0; i < codes.length; i++) bits[i] = table[codes[i]];
  return values;
}

/** Codes of `width` bits, the first in the lowest bits of the first byte. */
function unpack(bytes: Uint8Array, width: number, count: number): Uint8Array {
  const codes = new Uint8Array(count);
  const mask = (1 << width) - 1;
  for (let i = 0; i < count; i++) {
    const bit = i * width;
    const pair = bytes[bit >> 3] | ((bytes[(bit >> 3) + 1] ?? 0) << 8);
    codes[i] = (pair >> (bit & 7)) & mask;
  }
  return codes;
}

function decodeBrain(codes: Uint16Array): Float32Array<ArrayBuffer> {
  const values = alignedFloats(codes.length);
  const bits = bitsOf(values);
  for (let i = 0; i < codes.length; i++) bits[i] = codes[i] << 16;
  return values;
}

/** 2 to the power of code - 127; 255 is NaN. Code 0, 2^-127, is a float32 subnormal. */
function decodeScale(codes: Uint8Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(codes, (code) => (code === 255 ? Number.NaN : 2 ** (code - 127)));
}

/** Values of any real type as float32: exact for all floats up to 32 bits and integers up to 24, else rounded to nearest.
 * F32 is returned as it is, without a copy.
 * @throws WeightsError `Complex` for C64 */
export function toFloat32(dtype: Dtype, data: TensorArray, shape?: readonly number[]): Float32Array<ArrayBuffer> {
  switch (dtype) {
    case 'F32':
      return data as Float32Array<ArrayBuffer>;
    case 'BF16':
      return decodeBrain(data as Uint16Array);
    case 'F16':
    case 'F8_E4M3':
    case 'F8_E5M2':
    case 'F8_E4M3FNUZ':
    case 'F8_E5M2FNUZ':
      return lookUp(data as Uint16Array | Uint8Array, tableOf(dtype));
    case 'F8_E8M0':
      return decodeScale(data as Uint8Array);
    case 'F4':
    case 'F6_E2M3':
    case 'F6_E3M2': {
      const width = dtype === 'F4' ? 4 : 6;
      const count = shape === undefined ? (data.byteLength * 8) / width : elementCount(shape);
      return lookUp(unpack(bytesOf(data), width, count), tableOf(dtype));
    }
    case 'BOOL':
      return Float32Array.from(data as Uint8Array, (value) => (value === 0 ? 0 : 1));
    case 'I64':
    case 'U64':
      return Float32Array.from(data as BigInt64Array, Number);
    case 'C64':
      throw new WeightsError(
        'Complex',
        'dtype: only real numbers become float32; got C64; use read(), which gives pairs',
      );
    default:
      return Float32Array.from(data as Float64Array);
  }
}
