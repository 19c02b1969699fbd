import { Matrix as Dense, QrDecomposition, SVD } from 'ml-matrix';

/** A matrix in double precision, row by row. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

/** A = u diag(s) v^T, the values falling. u [m, k], v [n, k] */
export interface Svd {
  readonly u: Matrix;
  readonly s: Float64Array;
  readonly v: Matrix;
}

export function matrixOf(rows: number, data: ArrayLike<number>): Matrix {
  return { rows, columns: data.length / rows, data: Float64Array.from(data) };
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

export function multiply(a: Matrix, b: Matrix): Matrix {
  const data = new Float64Array(a.rows * b.columns);
  multiplyInto(data, a.data, b.data, [a.rows, a.columns, b.columns]);
  return { rows: a.rows, columns: b.columns, data };
}

/** A^T B without A^T. */
export function multiplyTransposed(a: Matrix, b: Matrix): Matrix {
  const data = new Float64Array(a.columns * b.columns);
  for (let k = 0; k < a.rows; k++) {
    for (let i = 0; i < a.columns; i++) {
      const factor = a.data[k * a.columns + i];
      if (factor === 0) continue;
      const [to, from] = [i * b.columns, k * b.columns];
      for (let j = 0; j < b.columns; j++) data[to + j] += factor * b.data[from + j];
    }
  }
  return { rows: a.columns, columns: b.columns, data };
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
  return { rows, columns, data: data.map((value, i) => value * factors[i % columns]) };
}

const dense = ({ rows, columns, data }: Matrix): Dense => Dense.from1DArray(rows, columns, data);

const fromDense = (a: Dense): Matrix => ({ rows: a.rows, columns: a.columns, data: Float64Array.from(a.to1DArray()) });

/** A = q r for a matrix with no more columns than rows: q [m, n] with orthonormal columns, r [n, n]. */
export function thinQr(a: Matrix): { q: Matrix; r: Matrix } {
  const qr = new QrDecomposition(dense(a));
  return { q: fromDense(qr.orthogonalMatrix), r: fromDense(qr.upperTriangularMatrix) };
}

/** The thin decomposition of a matrix of moderate size. */
export function exactSvd(a: Matrix): Svd {
  const svd = new SVD(dense(a), { autoTranspose: true });
  return {
    u: fromDense(svd.leftSingularVectors),
    s: Float64Array.from(svd.diagonal),
    v: fromDense(svd.rightSingularVectors),
  };
}
