import { bitsOf, type Dtype } from '../dtype/dtype.ts';
import { PickleError } from '../pickle/pickle-error.ts';
import type { TensorSigns } from '../pickle/values.ts';

/** A float's highest bit is its sign, and its bytes are little-endian. C64 is two F32. */
const FLOATS: readonly Dtype[] = ['F64', 'F32', 'F16', 'BF16', 'C64'];

/** Checks that we can negate or conjugate a tensor's elements. @throws PickleError `UnsupportedDtype` */
export function checkSigns(where: string, dtype: Dtype, { negative, conjugate }: TensorSigns): void {
  if (negative && !FLOATS.includes(dtype)) {
    throw new PickleError(
      'UnsupportedDtype',
      `${where}: a lazily negated tensor is ${FLOATS.join(', ')}; got ${dtype}; save tensor.resolve_neg()`,
    );
  }
  if (conjugate && dtype !== 'C64') {
    throw new PickleError(
      'UnsupportedDtype',
      `${where}: a lazily conjugated tensor is C64; got ${dtype}; save tensor.resolve_conj()`,
    );
  }
}

/** Negates or conjugates elements in place, by their sign bits: NaNs keep theirs, zeros become negative, as in PyTorch. */
export function applySigns(dtype: Dtype, bytes: Uint8Array, { negative, conjugate }: TensorSigns): void {
  const width = dtype === 'C64' ? 4 : bitsOf(dtype) / 8;
  const parts = dtype === 'C64' ? 2 : 1;
  for (let at = 0; at * width < bytes.length; at++) {
    const imaginary = at % parts === 1;
    if (negative !== (conjugate && imaginary)) bytes[(at + 1) * width - 1] ^= 0x80;
  }
}
