import { namedRandom } from '@rass/nn';
import {
  exactSvd,
  firstColumns,
  type Matrix,
  multiply,
  multiplyTransposed,
  type Svd,
  thinQr,
  transpose,
} from './matrix.ts';

export interface TruncatedSvdOptions {
  /** Times that the random sample is multiplied by the matrix and back; more is closer. Default 6. */
  iterations?: number;
  seed?: number;
}

/** Up to this smaller side the whole decomposition takes about a second. */
const EXACT_SIDE = 320;
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

const firstOf = ({ u, s, v }: Svd, rank: number): Svd => ({
  u: firstColumns(u, rank),
  s: s.slice(0, rank),
  v: firstColumns(v, rank),
});

/** A basis that the matrix keeps most of in, from a random sample of its columns, orthonormal after each step so that small
 * values are not lost behind large ones. */
function sampledBasis(a: Matrix, width: number, iterations: number, seed: number): Matrix {
  let basis = thinQr(multiply(a, gaussian(a.columns, width, seed))).q;
  for (let i = 0; i < iterations; i++) {
    const back = thinQr(multiplyTransposed(a, basis)).q;
    basis = thinQr(multiply(a, back)).q;
  }
  return basis;
}

/** The largest singular values of a matrix with their vectors: exact where one side is small or most of them are asked for, else by
 * a seeded random sample with power iterations, which finds values that stand out from the rest to many digits.
 * @throws when more are asked for than there are */
export function truncatedSvd(
  a: Matrix,
  rank: number,
  { iterations = ITERATIONS, seed = 0 }: TruncatedSvdOptions = {},
): Svd {
  const side = Math.min(a.rows, a.columns);
  if (!(Number.isInteger(rank) && rank >= 1 && rank <= side)) {
    throw new Error(
      `lora: a decomposition has a rank from 1 to ${side}; got ${rank} for ${a.rows} x ${a.columns}; lower it`,
    );
  }
  const width = rank + OVERSAMPLING;
  if (side <= EXACT_SIDE || width >= side / 2) return firstOf(exactSvd(a), rank);
  // The sample is orthonormalised on the smaller side, which is cheaper.
  if (a.rows > a.columns) {
    const { u, s, v } = truncatedSvd(transpose(a), rank, { iterations, seed });
    return { u: v, s, v: u };
  }
  const basis = sampledBasis(a, width, iterations, seed);
  const { u, s, v } = firstOf(exactSvd(multiplyTransposed(basis, a)), rank);
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
  return { u: multiply(left.q, u), s, v: multiply(right.q, v) };
}
