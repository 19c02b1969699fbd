import { elementCount } from '../dtype/dtype.ts';
import type { AffineOptions } from './affine.ts';

/** A tensor's rows: one for each output, and how long they are as whole groups. */
export function rowsOf(
  shape: readonly number[],
  { groupSize }: AffineOptions,
): { rows: number; columns: number; padded: number } {
  const [rows] = shape;
  const columns = elementCount(shape) / rows;
  return { rows, columns, padded: Math.ceil(columns / groupSize) * groupSize };
}

/** Rows as whole groups. What fills the last group is its row's last value, which moves no end of its range. */
export function padRows(
  values: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  options: AffineOptions,
): Float32Array<ArrayBuffer> {
  const { rows, columns, padded } = rowsOf(shape, options);
  if (padded === columns) return values;
  const out = new Float32Array(rows * padded);
  for (let row = 0; row < rows; row++) {
    out.set(values.subarray(row * columns, (row + 1) * columns), row * padded);
    out.fill(values[(row + 1) * columns - 1], row * padded + columns, (row + 1) * padded);
  }
  return out;
}

/** The way back. */
export function cutRows(
  values: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  options: AffineOptions,
): Float32Array<ArrayBuffer> {
  const { rows, columns, padded } = rowsOf(shape, options);
  if (padded === columns) return values;
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) out.set(values.subarray(row * padded, row * padded + columns), row * columns);
  return out;
}
