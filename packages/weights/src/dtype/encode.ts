import { WeightsError } from '../error.ts';
import { SMALL_FLOATS, type SmallFloat } from './decode.ts';
import type { Dtype, TensorArray } from './dtype.ts';

/** The types that float32 values can be written as. */
export const ENCODABLE = ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'] as const;
export type EncodableDtype = (typeof ENCODABLE)[number];

const float32 = new Float32Array(1);
const float32Bits = new Uint32Array(float32.buffer);

/** To the nearest whole number, halves to the even one. */
export function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

interface Codes {
  readonly nan: number;
  /** What a number beyond the largest becomes, without its sign. PyTorch 2.13: infinity; E4M3's largest; FNUZ's NaN. */
  readonly overflow: number;
  readonly signBit: number;
}

function codesOf({ exponentBits, mantissaBits, special }: SmallFloat): Codes {
  const signBit = 1 << (exponentBits + mantissaBits);
  const top = ((1 << exponentBits) - 1) << mantissaBits;
  if (special === 'ieee') return { nan: signBit - 1, overflow: top, signBit };
  if (special === 'negativeZeroNaN') return { nan: signBit, overflow: signBit, signBit };
  return { nan: signBit - 1, overflow: signBit - 2, signBit };
}

/** One float32 value as a small float, rounded to nearest even. */
function encodeOne(value: number, format: SmallFloat, codes: Codes): number {
  const { mantissaBits, bias } = format;
  if (Number.isNaN(value)) return codes.nan;
  const negative = value < 0 || Object.is(value, -0);
  const sign = negative ? codes.signBit : 0;
  const magnitude = Math.abs(value);
  float32[0] = magnitude;
  // float32's own exponent; its subnormals lie below every small format's smallest step.
  const exponent = Math.max((float32Bits[0] >>> 23) - 127, 1 - bias);
  const steps =
    magnitude === Number.POSITIVE_INFINITY ? magnitude : roundEven(magnitude * 2 ** (mantissaBits - exponent));
  // Steps count from the exponent's own zero, so a carry into the next exponent adds up by itself.
  const code = (exponent + bias - 1) * 2 ** mantissaBits + steps;
  if (code >= codes.overflow || code >= codes.signBit) {
    return format.special === 'negativeZeroNaN' ? codes.nan : sign | codes.overflow;
  }
  if (code === 0 && format.special === 'negativeZeroNaN') return 0;
  return sign | code;
}

function encodeSmall<T extends Uint8Array | Uint16Array>(values: Float32Array, format: SmallFloat, out: T): T {
  const codes = codesOf(format);
  for (let i = 0; i < values.length; i++) out[i] = encodeOne(values[i], format, codes);
  return out;
}

/** F16 by its bits, for speed: checkpoints hold hundreds of millions. */
function encodeHalf(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const rest = bits[i] & 0x7fffffff;
    if (rest >= 0x47800000) {
      // 65536 and beyond, infinity, NaN.
      out[i] = rest > 0x7f800000 ? sign | 0x7e00 : sign | 0x7c00;
    } else if (rest >= 0x38800000) {
      // Normal: move the exponent's bias from 127 to 15 and round at bit 13; a carry may reach infinity, rightly.
      out[i] = sign | ((rest - 0x38000000 + 0xfff + ((rest >>> 13) & 1)) >>> 13);
    } else {
      // Subnormal: a step is 2^-24.
      out[i] = sign | roundEven(Math.abs(values[i]) * 2 ** 24);
    }
  }
  return out;
}

function encodeBrain(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i];
    out[i] = (word & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** Float32 values as another type's elements, rounded to nearest even as PyTorch does. What is too large becomes
 * infinity, in F8_E4M3 its largest number, 448, and in the FNUZ types NaN.
 * @throws WeightsError `NotEncodable` for a type outside ENCODABLE */
export function fromFloat32(values: Float32Array<ArrayBuffer>, dtype: Dtype): TensorArray {
  switch (dtype) {
    case 'F32':
      return values;
    case 'F64':
      return Float64Array.from(values);
    case 'F16':
      return encodeHalf(values);
    case 'BF16':
      return encodeBrain(values);
    case 'F8_E4M3':
    case 'F8_E5M2':
    case 'F8_E4M3FNUZ':
    case 'F8_E5M2FNUZ':
      return encodeSmall(values, SMALL_FLOATS[dtype], new Uint8Array(values.length));
    default:
      throw new WeightsError(
        'NotEncodable',
        `dtype: float32 values are written as ${ENCODABLE.join(', ')}; got ${dtype}; give the elements themselves`,
      );
  }
}
