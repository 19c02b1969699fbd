import { namedRandom } from '@rass/nn';
import { exactSvd, type Svd, settleSigns, thinQr } from './decompositions.ts';
import { type Matrix, multiply, multiplyTransposed, transpose } from './matrix.ts';

export interface TruncatedSvdOptions {
  /** Times that a random sample is multiplied by the matrix and back; more is closer. Default 6. */
  iterations?: number;
  /** Never from a sample. */
  exact?: boolean;
  seed?: number;
}

/** Up to this smaller side the exact decomposition takes a second or two. */
const EXACT_SIDE = 640;
/** A sample of a larger share of the smaller side costs more than the exact decomposition. */
const SAMPLED_SHARE = 1 / 16;
/** Columns beyond the rank, which catch what the sample would miss. @source Halko, Martinsson, Tropp, arXiv 0909.4061 */
const OVERSAMPLING = 16;
const ITERATIONS = 6;

function gaussian(rows: number, columns: number, seed: number): Matrix {
  const next = namedRandom(seed, 'sketch');
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < data.length; i++) {
    data[i] = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  }
  return { rows, columns, data };
}

/** A basis that the matrix keeps most of in, from a random sample of its columns, orthonormal after each step so that small
 * values are not lost behind large ones. */
function sampledBasis(a: Matrix, width: number, iterations: number, seed: number): Matrix {
  let basis = thinQr(multiply(a, gaussian(a.columns, width, seed))).q;
  for (let i = 0; i < iterations; i++) basis = thinQr(multiply(a, multiplyTransposed(a, basis))).q;
  return basis;
}

/** Whether so many values of a matrix are found from a random sample. */
export function isSampled({ rows, columns }: Matrix, rank: number): boolean {
  const side = Math.min(rows, columns);
  return side > EXACT_SIDE && rank + OVERSAMPLING < side * SAMPLED_SHARE;
}

/** The largest singular values of a matrix with their vectors: exact up to a smaller side of 640, or where more than a sixteenth of
 * them are asked for; else by a seeded random sample with power iterations, which finds values that stand out to many digits, and
 * of values that hardly fall some that are as large within a few percent.
 * @throws when more are asked for than there are */
export function truncatedSvd(
  a: Matrix,
  rank: number,
  { iterations = ITERATIONS, exact = false, seed = 0 }: TruncatedSvdOptions = {},
): Svd {
  const side = Math.min(a.rows, a.columns);
  if (!(Number.isInteger(rank) && rank >= 1 && rank <= side)) {
    throw new Error(
      `lora: a decomposition has a rank from 1 to ${side}; got ${rank} for ${a.rows} x ${a.columns}; lower it`,
    );
  }
  if (exact || !isSampled(a, rank)) return exactSvd(a, rank);
  // The sample is orthonormalised on the smaller side, which is cheaper.
  if (a.rows > a.columns) {
    const { u, s, v } = truncatedSvd(transpose(a), rank, { iterations, seed });
    return settleSigns({ u: v, s, v: u });
  }
  const basis = sampledBasis(a, rank + OVERSAMPLING, iterations, seed);
  const { u, s, v } = exactSvd(multiplyTransposed(basis, a), rank);
  return { u: multiply(basis, u), s, v };
}

/** The decomposition of up down, exact, without the product: of the small matrix between the factors' bases.
 * @shape up [m, r], down [r, n] -> u [m, r], s [r], v [n, r] */
export function productSvd(up: Matrix, down: Matrix): Svd {
  const rank = up.columns;
  // A factor with more ranks than rows has no thin basis.
  if (rank > up.rows || rank > down.columns) return exactSvd(multiply(up, down));
  const [left, right] = [thinQr(up), thinQr(transpose(down))];
  const { u, s, v } = exactSvd(multiply(left.r, transpose(right.r)));
  return settleSigns({ u: multiply(left.q, u), s, v: multiply(right.q, v) });
}
