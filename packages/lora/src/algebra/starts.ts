import { namedRandom } from '@rass/nn';
import type { HostTensor } from '../state.ts';
import { thinQr } from './decompositions.ts';
import {
  firstColumns,
  type Matrix,
  matrixOf,
  multiply,
  multiplyTransposed,
  scaleColumns,
  transpose,
} from './matrix.ts';
import { truncatedSvd } from './svd.ts';

/** Factors to start from, and the weight without their scaled product. */
export interface Start {
  /** [R, I] or [R, I, Kh, Kw] */
  readonly down: HostTensor;
  /** [O, R] or [O, R, 1, 1] */
  readonly up: HostTensor;
  readonly residual: HostTensor;
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

const toFloats = (matrix: Matrix): Float32Array<ArrayBuffer> => new Float32Array(matrix.data);

/** Factors in the layout of a weight: a convolution's `down` has its kernel. */
export function factorTensors(
  up: Matrix,
  down: Matrix,
  shape: readonly number[],
): { down: HostTensor; up: HostTensor } {
  const [outputs, inputs, ...kernel] = shape;
  return {
    down: { shape: [down.rows, inputs, ...kernel], data: toFloats(down) },
    up: { shape: [outputs, up.columns, ...kernel.map(() => 1)], data: toFloats(up) },
  };
}

function started(weight: HostTensor, up: Matrix, down: Matrix, scale: number): Start {
  const factors = factorTensors(up, down, weight.shape);
  // The rounded factors' product, so that weight and product together are what the weight was.
  const product = multiply(matrixOf(up.rows, factors.up.data), matrixOf(down.rows, factors.down.data));
  const data = weight.data.map((value, i) => value - scale * product.data[i]);
  return { ...factors, residual: { shape: weight.shape, data } };
}

function checkRank(what: string, rank: number, shape: readonly number[]): void {
  const side = Math.min(shape[0], sizeOf(shape.slice(1)));
  if (rank <= side) return;
  throw new Error(
    `lora: ${what} takes a rank up to the weight's smaller side, ${side}; got ${rank}; lower it by rankPattern`,
  );
}

/** PiSSA: the largest singular values, shared between the factors. Exact, or with `iterations` from a random sample with so many
 * power iterations, which takes seconds where the exact one takes minutes. A convolution's weight, which PEFT refuses, is taken as
 * [O, I Kh Kw]. @throws when the rank is above the weight's smaller side @source arXiv 2404.02948, peft pissa_init */
export function pissaStart(weight: HostTensor, rank: number, scale: number, iterations?: number): Start {
  checkRank('PiSSA', rank, weight.shape);
  const { u, s, v } = truncatedSvd(matrixOf(weight.shape[0], weight.data), rank, {
    exact: iterations === undefined,
    iterations,
  });
  const roots = s.map((value) => Math.sqrt(value / scale));
  return started(weight, scaleColumns(u, roots), transpose(scaleColumns(v, roots)), scale);
}

/** OLoRA: the first columns' orthonormal basis, and the weight in it; a convolution's weight as PiSSA takes it.
 * @throws when the rank is above the weight's smaller side @source arXiv 2406.01775, peft olora_init */
export function oloraStart(weight: HostTensor, rank: number, scale: number): Start {
  checkRank('OLoRA', rank, weight.shape);
  const whole = matrixOf(weight.shape[0], weight.data);
  const { q } = thinQr(firstColumns(whole, rank));
  return started(weight, q, multiplyTransposed(q, whole), scale);
}

function normal(rows: number, columns: number, next: () => number): Matrix {
  const draw = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return { rows, columns, data: Float64Array.from({ length: rows * columns }, draw) };
}

/** Every second row, from the first or from the second on. */
function everySecondRow({ rows, columns, data }: Matrix, first: 0 | 1): Matrix {
  const kept = Array.from({ length: rows / 2 }, (_, i) =>
    data.subarray((2 * i + first) * columns, (2 * i + first + 1) * columns),
  );
  return { rows: rows / 2, columns, data: Float64Array.from(kept.flatMap((row) => [...row])) };
}

/** The standard deviation of the factors is a tenth of that of a random matrix. @source peft orthogonal_init */
const ORTHOGONAL_SCALE = 0.1;

/** Two factors that are not zero and whose product is: each lives in one half of a random rotation of the ranks.
 * @throws when the rank is odd @source peft orthogonal_init */
export function orthogonalStart(
  shape: readonly number[],
  rank: number,
  seed: number,
  path: string,
): Pick<Start, 'down' | 'up'> {
  if (rank % 2 !== 0) {
    throw new Error(`lora: ${path}: an orthogonal start takes an even rank; got ${rank}; choose ${rank + 1}`);
  }
  const next = namedRandom(seed, `${path} orthogonal`);
  const { q } = thinQr(normal(rank, rank, next));
  const [outputs, ...inputs] = shape;
  const half = rank / 2;
  const scaled = (m: Matrix): Matrix => ({ ...m, data: m.data.map((value) => value * ORTHOGONAL_SCALE) });
  const down = multiplyTransposed(everySecondRow(q, 0), transpose(normal(sizeOf(inputs), half, next)));
  const up = multiply(transpose(normal(half, outputs, next)), everySecondRow(q, 1));
  return factorTensors(scaled(up), scaled(down), shape);
}
