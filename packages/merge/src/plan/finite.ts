/** A float32's exponent, all ones for what is infinite or not a number. */
const EXPONENT = 0x7f800000;

/** The place of the first infinity or NaN; -1 where there is none. */
export function firstNonFinite({ buffer, byteOffset, length }: Float32Array): number {
  const bits = new Uint32Array(buffer, byteOffset, length);
  for (let i = 0; i < length; i++) if ((bits[i] & EXPONENT) === EXPONENT) return i;
  return -1;
}

/** @throws where a value is infinite or not a number */
export function checkFinite(where: string, key: string, values: Float32Array, start: number): void {
  const at = firstNonFinite(values);
  if (at < 0) return;
  throw new Error(
    `merge: ${where}: weights are finite; got ${values[at]} at ${start + at} of "${key}"; mend the file, or allow the tensor by name`,
  );
}
