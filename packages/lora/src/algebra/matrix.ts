/** A matrix in double precision, row by row. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

export function matrixOf(rows: number, data: ArrayLike<number>): Matrix {
  return { rows, columns: data.length / rows, data: new Float64Array(data) };
}

/** C += A B. Rows of B are added up, so that memory is read in its order. */
export function multiplyInto(
  out: Float64Array | Float32Array,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  [rows, inner, columns]: readonly [number, number, number],
): void {
  for (let i = 0; i < rows; i++) {
    const at = i * columns;
    for (let k = 0; k < inner; k++) {
      const factor = a[i * inner + k];
      if (factor === 0) continue;
      const from = k * columns;
      for (let j = 0; j < columns; j++) out[at + j] += factor * b[from + j];
    }
  }
}

/** A B, four rows of A at a time, so that a row of B is read once for four. */
export function multiply(a: Matrix, b: Matrix): Matrix {
  const [inner, width] = [a.columns, b.columns];
  const out = new Float64Array(a.rows * width);
  const fours = a.rows - (a.rows % 4);
  for (let i = 0; i < fours; i += 4) {
    const [r0, r1, r2, r3] = [i * inner, (i + 1) * inner, (i + 2) * inner, (i + 3) * inner];
    const [o0, o1, o2, o3] = [i * width, (i + 1) * width, (i + 2) * width, (i + 3) * width];
    for (let k = 0; k < inner; k++) {
      const [f0, f1, f2, f3] = [a.data[r0 + k], a.data[r1 + k], a.data[r2 + k], a.data[r3 + k]];
      const from = k * width;
      for (let j = 0; j < width; j++) {
        const value = b.data[from + j];
        out[o0 + j] += f0 * value;
        out[o1 + j] += f1 * value;
        out[o2 + j] += f2 * value;
        out[o3 + j] += f3 * value;
      }
    }
  }
  multiplyInto(out.subarray(fours * width), a.data.subarray(fours * inner), b.data, [a.rows - fours, inner, width]);
  return { rows: a.rows, columns: width, data: out };
}

/** A^T B without A^T, four rows of both at a time, so that a row of the result is written once for four. */
export function multiplyTransposed(a: Matrix, b: Matrix): Matrix {
  const [count, width] = [a.columns, b.columns];
  const out = new Float64Array(count * width);
  // Rows beyond the last are taken as zeros: their factor is.
  for (let k = 0; k < a.rows; k += 4) {
    const there = Math.min(4, a.rows - k);
    const [a0, a1, a2, a3] = [0, 1, 2, 3].map((row) => (k + Math.min(row, there - 1)) * count);
    const [b0, b1, b2, b3] = [0, 1, 2, 3].map((row) => (k + Math.min(row, there - 1)) * width);
    for (let i = 0; i < count; i++) {
      const f0 = a.data[a0 + i];
      const f1 = there > 1 ? a.data[a1 + i] : 0;
      const f2 = there > 2 ? a.data[a2 + i] : 0;
      const f3 = there > 3 ? a.data[a3 + i] : 0;
      const to = i * width;
      for (let j = 0; j < width; j++) {
        out[to + j] += f0 * b.data[b0 + j] + f1 * b.data[b1 + j] + f2 * b.data[b2 + j] + f3 * b.data[b3 + j];
      }
    }
  }
  return { rows: count, columns: width, data: out };
}

export function transpose({ rows, columns, data }: Matrix): Matrix {
  const out = new Float64Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j];
  return { rows: columns, columns: rows, data: out };
}

/** The first columns. */
export function firstColumns({ rows, columns, data }: Matrix, count: number): Matrix {
  const out = new Float64Array(rows * count);
  for (let i = 0; i < rows; i++) out.set(data.subarray(i * columns, i * columns + count), i * count);
  return { rows, columns: count, data: out };
}

/** Columns multiplied by a factor each. */
export function scaleColumns({ rows, columns, data }: Matrix, factors: ArrayLike<number>): Matrix {
  const out = new Float64Array(data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[i * columns + j] = data[i * columns + j] * factors[j];
  return { rows, columns, data: out };
}

export function sumOf(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}

export function sumOfSquares(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] * values[i];
  return total;
}
