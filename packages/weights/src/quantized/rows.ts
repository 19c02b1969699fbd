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

/** Rows of another length: cut off, or their last value again. */
function rowsTo(values: Float32Array<ArrayBuffer>, from: number, to: number): Float32Array<ArrayBuffer> {
  if (from === to) return values;
  const rows = values.length / from;
  const out = new Float32Array(rows * to);
  for (let row = 0; row < rows; row++) {
    const own = values.subarray(row * from, (row + 1) * from);
    out.set(own.subarray(0, to), row * to);
    out.fill(own[from - 1], row * to + Math.min(from, to), (row + 1) * to);
  }
  return out;
}

/** Rows as whole groups. What fills the last group is its row's last value, which moves no end of its range. */
export function padRows(
  values: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  options: AffineOptions,
): Float32Array<ArrayBuffer> {
  const { columns, padded } = rowsOf(shape, options);
  return rowsTo(values, columns, padded);
}

/** The way back. */
export function cutRows(
  values: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  options: AffineOptions,
): Float32Array<ArrayBuffer> {
  const { columns, padded } = rowsOf(shape, options);
  return rowsTo(values, padded, columns);
}
