import { type Piece, runAtOnce, runInPieces } from '@rass/kernels';
import { anything, called, checkOptions, type OptionRules } from '@rass/kernels/options';
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

/** How far the tiles have come. */
export interface TileProgress {
  readonly done: number;
  readonly tiles: number;
}

export interface AsyncTiling extends LatentTiling {
  readonly signal?: AbortSignal;
  readonly onTile?: (progress: TileProgress) => void;
}

type Sums = { readonly values: Tensor4D; readonly weights: Tensor4D };

/** Where tiles begin. */
const tilePlaces = (h: number, w: number, size: number, overlap: number): (readonly [top: number, left: number])[] =>
  startsOf(h, size, overlap).flatMap((top) => startsOf(w, size, overlap).map((left) => [top, left] as const));

/** A tile at a time; what was summed up so far is freed when the work is given up. */
function* tileByTile(
  latents_BhwC: Tensor4D,
  run: (tile_BhwC: Tensor4D) => Tensor4D,
  { size = SIZE, overlap = OVERLAP }: LatentTiling,
): Generator<Piece, Tensor4D, void> {
  if (!(Number.isInteger(size) && Number.isInteger(overlap) && overlap >= 0 && overlap < size)) {
    throw new Error(
      `tiledLatents: size and overlap are whole numbers, the overlap from 0 and below the size; got ${size} and ${overlap}; 96 and 32 are usual`,
    );
  }
  const [B, h, w, C] = latents_BhwC.shape;
  if (h <= size && w <= size) {
    const whole = run(latents_BhwC);
    try {
      yield { made: whole };
    } catch (error) {
      if (whole !== latents_BhwC) whole.dispose();
      throw error;
    }
    return whole;
  }
  const [rows, columns] = [Math.min(size, h), Math.min(size, w)];
  const [down, across] = [bell(rows), bell(columns)];
  const weights = tensor(
    Float32Array.from({ length: rows * columns }, (_, i) => down[Math.floor(i / columns)] * across[i % columns]),
    [1, rows, columns, 1],
  ) as Tensor4D;
  let sums: Sums | undefined;
  try {
    for (const [top, left] of tilePlaces(h, w, size, overlap)) {
      const before: Sums | undefined = sums;
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
      yield { made: sums.values };
    }
    return div(sums!.values, sums!.weights) as Tensor4D;
  } finally {
    weights.dispose();
    if (sums !== undefined) dispose([sums.values, sums.weights]);
  }
}

const LATENT_TILING_RULES: OptionRules<LatentTiling> = { size: anything, overlap: anything };

/** Runs `run` on overlapping squares of latents and adds their results up, each weighted by a bell about its middle, so that no tile's edge
 * shows. One that fits into a square is run as it is. The results are freed. @shape [B, h, w, C] -> [B, h, w, C]
 * @throws when the overlap is not below the size @source OSEDiff, arXiv 2406.08177 */
export function tiledLatents(
  latents_BhwC: Tensor4D,
  run: (tile_BhwC: Tensor4D) => Tensor4D,
  tiling: LatentTiling = {},
): Tensor4D {
  checkOptions('tiledLatents', tiling, LATENT_TILING_RULES);
  return runAtOnce(tileByTile(latents_BhwC, run, tiling));
}

const ASYNC_TILING_RULES: OptionRules<AsyncTiling> = {
  size: anything,
  overlap: anything,
  signal: anything,
  onTile: called,
};

/** tiledLatents with a pause after each tile, in which a page stays alive and the signal can stop it.
 * @throws also the signal's reason; nothing is left behind then */
export async function tiledLatentsAsync(
  latents_BhwC: Tensor4D,
  run: (tile_BhwC: Tensor4D) => Tensor4D,
  options: AsyncTiling = {},
): Promise<Tensor4D> {
  checkOptions('tiledLatentsAsync', options, ASYNC_TILING_RULES);
  const { signal, onTile, ...tiling } = options;
  const { size = SIZE, overlap = OVERLAP } = tiling;
  const [, h, w] = latents_BhwC.shape;
  const onPiece = (_: Piece, done: number) => onTile?.({ done, tiles: tilePlaces(h, w, size, overlap).length });
  return runInPieces(tileByTile(latents_BhwC, run, tiling), { ...(signal && { signal }), onPiece });
}
