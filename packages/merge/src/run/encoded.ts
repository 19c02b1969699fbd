import { type Dtype, type TensorArray, toFloat32 } from '@rass/weights';
import { firstNonFinite } from '../plan/finite.ts';

// The exponents of the two 16-bit types, all ones for what is infinite or not a number.
const EXPONENTS: Partial<Record<Dtype, number>> = { F16: 0x7c00, BF16: 0x7f80 };

function placeOf(dtype: Dtype, data: TensorArray): number {
  if (data instanceof Float32Array) return firstNonFinite(data);
  const exponent = EXPONENTS[dtype];
  if (exponent === undefined) return firstNonFinite(toFloat32(dtype, data));
  const codes = data as Uint16Array;
  for (let i = 0; i < codes.length; i++) if ((codes[i] & exponent) === exponent) return i;
  return -1;
}

/** @throws where a value of the result is not finite, because its type has no number as large */
export function checkEncoded(key: string, dtype: Dtype, data: TensorArray, start: number): void {
  const at = placeOf(dtype, data);
  if (at < 0) return;
  const remedy = dtype === 'F32' ? 'choose other parameters' : 'set out_dtype: float32 or bfloat16';
  throw new Error(
    `merge: "${key}": merged values fit ${dtype}; got one that is beyond it at ${start + at}; ${remedy}, or allow the tensor by name`,
  );
}
