import { Matrix as Dense, EVD, SVD } from 'ml-matrix';
import { firstColumns, type Matrix, multiplyTransposed, sumOfSquares, transpose } from './matrix.ts';

/** A = u diag(s) v^T, the values falling; the largest element of each column of v is positive. u [m, k], v [n, k] */
export interface Svd {
  readonly u: Matrix;
  readonly s: Float64Array;
  readonly v: Matrix;
}

const dense = ({ rows, columns, data }: Matrix): Dense => Dense.from1DArray(rows, columns, data);

const fromDense = (a: Dense): Matrix => ({ rows: a.rows, columns: a.columns, data: new Float64Array(a.to1DArray()) });

/** What is left of a column's length below this is rounding: the column depends on those before it. */
const DEPENDENT = 1e-14;

/** Takes the parts along the first `count` rows of `basis` out of a vector, and adds them to `parts`. */
function takeOut(
  vector: Float64Array,
  basis: readonly Float64Array[],
  parts?: (k: number, part: number) => void,
): void {
  for (const [k, each] of basis.entries()) {
    let part = 0;
    for (let i = 0; i < vector.length; i++) part += vector[i] * each[i];
    for (let i = 0; i < vector.length; i++) vector[i] -= part * each[i];
    parts?.(k, part);
  }
}

function normalized(vector: Float64Array, length: number): Float64Array {
  for (let i = 0; i < vector.length; i++) vector[i] /= length;
  return vector;
}

/** A unit vector at a right angle to all of a basis. */
function another(basis: readonly Float64Array[], size: number): Float64Array {
  // Of the unit vectors the first whose larger part is outside of the basis; there is one as long as the basis is not whole.
  for (let at = 0; ; at++) {
    const vector = new Float64Array(size);
    vector[at % size] = 1;
    takeOut(vector, basis);
    takeOut(vector, basis);
    const length = Math.sqrt(sumOfSquares(vector));
    if (length ** 2 > 0.5 / size) return normalized(vector, length);
  }
}

/** A = q r for a matrix with no more columns than rows: q [m, n] with orthonormal columns, also where columns of A depend on each
 * other; r [n, n]. Gram-Schmidt, each column twice, which is as exact as reflections and reads memory in its order. */
export function thinQr(a: Matrix): { q: Matrix; r: Matrix } {
  const [size, count] = [a.rows, a.columns];
  const columns = transpose(a).data;
  const basis: Float64Array[] = [];
  const r = new Float64Array(count * count);
  for (let j = 0; j < count; j++) {
    const vector = columns.subarray(j * size, (j + 1) * size);
    const before = Math.sqrt(sumOfSquares(vector));
    for (const _ of [1, 2]) {
      takeOut(vector, basis, (k, part) => {
        r[k * count + j] += part;
      });
    }
    const length = Math.sqrt(sumOfSquares(vector));
    const isDependent = !(length > DEPENDENT * before);
    if (!isDependent) r[j * count + j] = length;
    const next = isDependent ? another(basis, size) : normalized(vector, length);
    vector.set(next);
    basis.push(vector);
  }
  return { q: transpose({ rows: count, columns: size, data: columns }), r: { rows: count, columns: count, data: r } };
}

/** Up to so many operations the decomposition of the matrix itself takes less than a second. */
const DIRECT_COST = 2e7;

function directSvd(a: Matrix): Svd {
  const svd = new SVD(dense(a), { autoTranspose: true });
  return {
    u: fromDense(svd.leftSingularVectors),
    s: new Float64Array(svd.diagonal),
    v: fromDense(svd.rightSingularVectors),
  };
}

/** A A^T: all products of two rows, two by two, over so many columns at a time as stay in the cache. */
function productsOfRows({ rows, columns, data }: Matrix): Matrix {
  const out = new Float64Array(rows * rows);
  const block = 1024;
  for (let start = 0; start < columns; start += block) {
    const width = Math.min(block, columns - start);
    for (let i = 0; i < rows; i += 2) {
      const first = i * columns + start;
      const second = (i + 1 < rows ? i + 1 : i) * columns + start;
      for (let j = 0; j <= i + 1 && j < rows; j++) {
        const other = j * columns + start;
        let [sum, below] = [0, 0];
        for (let k = 0; k < width; k++) {
          sum += data[first + k] * data[other + k];
          below += data[second + k] * data[other + k];
        }
        if (j <= i) out[i * rows + j] += sum;
        if (i + 1 < rows) out[(i + 1) * rows + j] += below;
      }
    }
  }
  for (let i = 0; i < rows; i++) for (let j = 0; j < i; j++) out[j * rows + i] = out[i * rows + j];
  return { rows, columns: rows, data: out };
}

/** Through the eigenvectors of A A^T, for no more rows than columns. */
function gramSvd(a: Matrix, count: number): Svd {
  const { eigenvectorMatrix } = new EVD(dense(productsOfRows(a)), { assumeSymmetric: true });
  // The eigenvalues rise.
  const vectors = fromDense(eigenvectorMatrix);
  const u = new Float64Array(a.rows * count);
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < count; k++) u[i * count + k] = vectors.data[i * a.rows + a.rows - 1 - k];
  }
  const left = { rows: a.rows, columns: count, data: u };
  const right = multiplyTransposed(left, a);
  // Lengths of the projected rows are more exact than roots of eigenvalues.
  const s = Float64Array.from({ length: count }, (_, k) =>
    Math.sqrt(sumOfSquares(right.data.subarray(k * a.columns, (k + 1) * a.columns))),
  );
  for (let k = 0; k < count; k++) {
    if (s[k] > 0) normalized(right.data.subarray(k * a.columns, (k + 1) * a.columns), s[k]);
  }
  return { u: left, s, v: transpose(right) };
}

/** The first columns of a decomposition. */
const firstOf = ({ u, s, v }: Svd, count: number): Svd => ({
  u: firstColumns(u, count),
  s: s.slice(0, count),
  v: firstColumns(v, count),
});

/** The same decomposition with the signs of its vectors settled, in place: whatever way it was found, it is the same. */
export function settleSigns(svd: Svd): Svd {
  const { u, v } = svd;
  for (let k = 0; k < v.columns; k++) {
    let most = 0;
    for (let i = k; i < v.data.length; i += v.columns) if (Math.abs(v.data[i]) > Math.abs(most)) most = v.data[i];
    if (most >= 0) continue;
    for (const { data, columns } of [u, v]) for (let i = k; i < data.length; i += columns) data[i] = -data[i];
  }
  return svd;
}

/** The thin decomposition, or its `count` largest values. Large matrices go through A A^T: there values below a millionth of the
 * largest, less than what float32 resolves, and their vectors are lost in rounding. */
export function exactSvd(a: Matrix, count = Math.min(a.rows, a.columns)): Svd {
  const [small, large] = [Math.min(a.rows, a.columns), Math.max(a.rows, a.columns)];
  if (small * small * large <= DIRECT_COST) return settleSigns(firstOf(directSvd(a), count));
  if (a.rows <= a.columns) return settleSigns(gramSvd(a, count));
  const { u, s, v } = gramSvd(transpose(a), count);
  return settleSigns({ u: v, s, v: u });
}
