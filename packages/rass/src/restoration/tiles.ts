import { add, dispose, div, mul, pad, slice, type Tensor4D, tensor, tidy } from '@tensorflow/tfjs-core';

/** Squares of latents that overlap. */
export interface LatentTiling {
  /** Side in latents; default 96. */
  readonly size?: number;
  /** What neighbours have in common, at least; default 32. */
  readonly overlap?: number;
}

const SIZE = 96;
const OVERLAP = 32;
/** Deviation of a tile's weights as a share of its side. @source OSEDiff osediff.py _gaussian_weights */
const DEVIATION = 0.1;

/** Where tiles begin along a side; the last ends where the side does. */
function startsOf(length: number, size: number, overlap: number): number[] {
  if (length <= size) return [0];
  const count = Math.ceil((length - overlap) / (size - overlap));
  return Array.from({ length: count }, (_, i) => Math.round((i * (length - size)) / (count - 1)));
}

/** Weights along a side: a bell, near 0 at the edges, never 0. */
function bell(size: number): Float32Array {
  const middle = (size - 1) / 2;
  return Float32Array.from(
    { length: size },
    (_, i) => Math.exp(-(((i - middle) / (DEVIATION * size)) ** 2) / 2) + 1e-6,
  );
}

/** Runs `run` on overlapping squares of latents and adds their results up, each weighted by a bell about its middle, so that no tile's edge
 * shows. One that fits into a square is run as it is. The results are freed. @shape [B, h, w, C] -> [B, h, w, C]
 * @throws when the overlap is not below the size @source OSEDiff, arXiv 2406.08177 */
export function tiledLatents(
  latents_BhwC: Tensor4D,
  run: (tile_BhwC: Tensor4D) => Tensor4D,
  { size = SIZE, overlap = OVERLAP }: LatentTiling = {},
): Tensor4D {
  if (!(Number.isInteger(size) && Number.isInteger(overlap) && overlap >= 0 && overlap < size)) {
    throw new Error(
      `tiledLatents: size and overlap are whole numbers, the overlap from 0 and below the size; got ${size} and ${overlap}; 96 and 32 are usual`,
    );
  }
  const [B, h, w, C] = latents_BhwC.shape;
  if (h <= size && w <= size) return run(latents_BhwC);
  const [rows, columns] = [Math.min(size, h), Math.min(size, w)];
  const [down, across] = [bell(rows), bell(columns)];
  const weights = tensor(
    Float32Array.from({ length: rows * columns }, (_, i) => down[Math.floor(i / columns)] * across[i % columns]),
    [1, rows, columns, 1],
  ) as Tensor4D;
  let sums: { values: Tensor4D; weights: Tensor4D } | undefined;
  for (const top of startsOf(h, size, overlap)) {
    for (const left of startsOf(w, size, overlap)) {
      const before = sums;
      sums = tidy(() => {
        const result = run(slice(latents_BhwC, [0, top, left, 0], [B, rows, columns, C]));
        const place = (tile: Tensor4D): Tensor4D =>
          pad(tile, [
            [0, 0],
            [top, h - top - rows],
            [left, w - left - columns],
            [0, 0],
          ]);
        const [values, own] = [place(mul(result, weights)), place(weights)];
        if (before === undefined) return { values, weights: own };
        return { values: add(before.values, values), weights: add(before.weights, own) };
      });
      if (before !== undefined) dispose([before.values, before.weights]);
    }
  }
  const mean = div(sums!.values, sums!.weights) as Tensor4D;
  dispose([weights, sums!.values, sums!.weights]);
  return mean;
}
