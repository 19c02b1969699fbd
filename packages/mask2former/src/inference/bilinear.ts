import {
  concat,
  matMul,
  reshape,
  slice,
  type Tensor2D,
  type Tensor3D,
  tensor2d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';

/** For each place along an axis the two places it lies between, and the share that the second one has. */
export interface Taps {
  readonly low: Int32Array<ArrayBuffer>;
  readonly high: Int32Array<ArrayBuffer>;
  readonly share: Float32Array<ArrayBuffer>;
}

/** How PyTorch's bilinear interpolate without aligned corners sees an axis, in single precision as there: pixels at a
 * border between segments would fall differently otherwise. @source aten area_pixel_compute_source_index */
export function bilinearTaps(from: number, to: number): Taps {
  const [low, high, share] = [new Int32Array(to), new Int32Array(to), new Float32Array(to)];
  const scale = Math.fround(from / to);
  for (let i = 0; i < to; i++) {
    const position = Math.max(0, Math.fround(Math.fround(scale * (i + 0.5)) - 0.5));
    low[i] = Math.min(from - 1, Math.floor(position));
    high[i] = Math.min(from - 1, low[i] + 1);
    share[i] = Math.min(1, position - low[i]);
  }
  return { low, high, share };
}

/** The taps of places from `first` to before `end`, on an axis that begins at `origin`. */
export function tapsBetween({ low, high, share }: Taps, first: number, end: number, origin: number): Taps {
  return {
    low: low.subarray(first, end).map((at) => at - origin),
    high: high.subarray(first, end).map((at) => at - origin),
    share: share.subarray(first, end),
  };
}

const isWhole = ({ low, share }: Taps, length: number): boolean =>
  low.length === length && share.every((value) => value === 0) && low.every((at, i) => at === i);

/** A product with a matrix that is nearly all zeros wastes time: pieces of the result take about so many places each. */
const PIECE = 32;

/** Cuts the result into pieces that lie between few places. */
function piecesOf({ low, high }: Taps): { first: number; end: number }[] {
  const pieces: { first: number; end: number }[] = [];
  for (let first = 0; first < low.length; ) {
    let end = first + 1;
    while (end < low.length && high[end] - low[first] < PIECE) end++;
    pieces.push({ first, end });
    first = end;
  }
  return pieces;
}

/** What each place of the piece takes of the places from its first on. @shape [end - first, places] */
function weightsOf({ low, high, share }: Taps, first: number, end: number): Tensor2D {
  const places = high[end - 1] - low[first] + 1;
  const weights = new Float32Array((end - first) * places);
  for (let i = first; i < end; i++) {
    const row = (i - first) * places - low[first];
    weights[row + low[i]] += 1 - share[i];
    weights[row + high[i]] += share[i];
  }
  return tensor2d(weights, [end - first, places]);
}

/** By products with matrices: gathering takes up to eight times as long on wasm.
 * @shape [H, W, C] -> [rows, W, C] */
function interpolateRows(x_HWC: Tensor3D, taps: Taps): Tensor3D {
  const [H, W, C] = x_HWC.shape;
  if (isWhole(taps, H)) return x_HWC;
  return tidy(() => {
    const pieces = piecesOf(taps).map(({ first, end }): Tensor2D => {
      const weights = weightsOf(taps, first, end);
      const places = weights.shape[1];
      const rows = slice(x_HWC, [taps.low[first], 0, 0], [places, W, C]);
      return matMul(weights, reshape(rows, [places, W * C]) as Tensor2D);
    });
    return reshape(pieces.length === 1 ? pieces[0] : concat(pieces, 0), [taps.low.length, W, C]);
  });
}

/** @shape [H, W, C] -> [H, columns, C] */
function interpolateColumns(x_HWC: Tensor3D, taps: Taps): Tensor3D {
  if (isWhole(taps, x_HWC.shape[1])) return x_HWC;
  const turned = (x: Tensor3D): Tensor3D => transpose(x, [1, 0, 2]);
  return tidy(() => turned(interpolateRows(turned(x_HWC), taps)));
}

/** Columns first: of rows there are fewer before than after. @shape [H, W, C] -> [rows, columns, C] */
export function interpolate(x_HWC: Tensor3D, rows: Taps, columns: Taps): Tensor3D {
  return tidy(() => interpolateRows(interpolateColumns(x_HWC, columns), rows));
}
