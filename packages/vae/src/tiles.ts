import { add, concat, mul, slice, sub, type Tensor4D, tensor, tidy } from '@tensorflow/tfjs-core';
import { scaleOf, type VaeConfig } from './config.ts';
import type { Chain, ChainInput, ChainPlan } from './plan.ts';
import { chainCost, type Size, type Stage } from './stages.ts';
import { Taps } from './taps.ts';
import { wholeChain } from './whole.ts';
import type { Held, Work } from './work.ts';

/** Where tiles start, what they overlap in, and what is left of each. In pixels of what goes in or comes out. */
interface TileGrid {
  /** Side of a tile, and distance from one to the next, going in. */
  readonly tile: number;
  readonly step: number;
  /** Width of the blend, and what a tile contributes, coming out. */
  readonly blend: number;
  readonly kept: number;
}

interface TileOptions {
  /** Side of a tile in image pixels; default the configuration's sample size. */
  readonly tileSize?: number;
  /** The share of a tile that overlaps the next; default 0.25. */
  readonly overlap?: number;
}

/** diffusers' tiling: overlapping tiles, each normalised by itself, blended. Cheaper on giant images, not seamless. */
export interface BlendTiling extends TileOptions {
  readonly kind: 'blend';
}

const DEFAULT_OVERLAP = 0.25;

/** @throws when tiles would not meet: what a tile leaves out must be whole latent pixels
 * @source diffusers AutoencoderKL.tiled_decode, _tiled_encode */
function tileGrid(config: VaeConfig, direction: 'encode' | 'decode', options: TileOptions): TileGrid {
  const { tileSize = config.sampleSize, overlap = DEFAULT_OVERLAP } = options;
  const scale = scaleOf(config);
  if (!(Number.isInteger(tileSize) && tileSize >= scale)) {
    throw new Error(
      `vae tiling: tileSize is a whole number of pixels from ${scale} up; got ${tileSize}; a multiple of ${4 * scale} will do`,
    );
  }
  const overlapLatents = (tileSize * overlap) / scale;
  if (!Number.isInteger(tileSize / scale) || !Number.isInteger(overlapLatents) || !(overlap >= 0 && overlap < 1)) {
    throw new Error(
      `vae tiling: tileSize and tileSize x overlap are multiples of ${scale} pixels, with overlap in [0, 1); got tileSize ${tileSize}, overlap ${overlap}; a multiple of ${4 * scale} goes with 0.25`,
    );
  }
  const latents = { tile: tileSize / scale, blend: overlapLatents, step: tileSize / scale - overlapLatents };
  const pixels = { tile: tileSize, blend: tileSize * overlap, step: tileSize * (1 - overlap) };
  const [input, output] = direction === 'encode' ? [pixels, latents] : [latents, pixels];
  return {
    tile: input.tile,
    step: Math.round(input.step),
    blend: Math.round(output.blend),
    kept: Math.round(output.step),
  };
}

/** Whether the image is larger than one tile; else diffusers does not tile it. */
function needsTiles({ tile }: TileGrid, [height, width]: Size): boolean {
  return height > tile || width > tile;
}

/** The corners of the tiles along one side. One so small that nothing of it would be left is not made. */
function starts(length: number, { step }: TileGrid, smallest: number): number[] {
  const all = Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);
  return all.filter((start) => length - start >= smallest);
}

/** The tile's first rows (axis 1) or columns (axis 2) fade over from the last ones of the tile before it. */
function blended(before: Tensor4D, tile: Tensor4D, axis: 1 | 2, blend: number): Tensor4D {
  const extent = Math.min(before.shape[axis], tile.shape[axis], blend);
  if (extent === 0) return tile.clone();
  return tidy(() => {
    const part = (x: Tensor4D, from: number, size: number): Tensor4D =>
      slice(x, axis === 1 ? [0, from, 0, 0] : [0, 0, from, 0], axis === 1 ? [-1, size, -1, -1] : [-1, -1, size, -1]);
    const shares = Float32Array.from({ length: extent }, (_, i) => i / extent);
    const ramp = tensor(shares, axis === 1 ? [1, extent, 1, 1] : [1, 1, extent, 1]);
    const last = part(before, before.shape[axis] - extent, extent);
    const mixed: Tensor4D = add(mul(last, sub(1, ramp)), mul(part(tile, 0, extent), ramp));
    const rest = tile.shape[axis] - extent;
    return rest === 0 ? mixed : (concat([mixed, part(tile, extent, rest)], axis) as Tensor4D);
  });
}

/** One tile through the chain, blended with the tiles above and to the left of it. */
function* tileWork(
  chain: Work<Tensor4D>,
  above: Tensor4D | undefined,
  left: Tensor4D | undefined,
  blend: number,
  held: Held,
): Work<Tensor4D> {
  let tile = yield* chain;
  for (const [before, axis] of [
    [above, 1],
    [left, 2],
  ] as const) {
    if (before === undefined) continue;
    const mixed = held.hold(blended(before, tile, axis, blend));
    held.free(tile);
    tile = mixed;
  }
  return tile;
}

function kept(tiles: readonly Tensor4D[], most: number): Tensor4D {
  return tidy(() => {
    const cut = tiles.map((tile) =>
      slice(tile, [0, 0, 0, 0], [-1, Math.min(most, tile.shape[1]), Math.min(most, tile.shape[2]), -1]),
    );
    return cut.length === 1 ? cut[0] : (concat(cut, 2) as Tensor4D);
  });
}

/** The chain over overlapping tiles, each normalised by itself, blended linearly where they overlap.
 * @shape [B, H, W, C] -> [B, H', W', C'] @source diffusers AutoencoderKL.tiled_decode, _tiled_encode */
function* tiledChain(
  stages: readonly Stage[],
  x_BHWC: Tensor4D,
  grid: TileGrid,
  smallest: number,
  held: Held,
): Work<Tensor4D> {
  const [, height, width] = x_BHWC.shape;
  const none = new Taps('vae', [], stages, held);
  const done: Tensor4D[] = [];
  let above: Tensor4D[] = [];
  for (const top of starts(height, grid, smallest)) {
    const row: Tensor4D[] = [];
    for (const [j, left] of starts(width, grid, smallest).entries()) {
      const size = [-1, Math.min(grid.tile, height - top), Math.min(grid.tile, width - left), -1];
      const input = held.hold(slice(x_BHWC, [0, top, left, 0], size));
      row.push(yield* tileWork(wholeChain(stages, input, none, held), above[j], row[j - 1], grid.blend, held));
    }
    done.push(held.hold(kept(row, grid.kept)));
    for (const tile of above) held.free(tile);
    above = row;
  }
  for (const tile of above) held.free(tile);
  const whole = held.hold(done.length === 1 ? done[0].clone() : (concat(done, 1) as Tensor4D));
  for (const rows of done) held.free(rows);
  return whole;
}

/** Multiplications of one image's tiles. */
function tilesCost(stages: readonly Stage[], [height, width]: Size, grid: TileGrid, smallest: number): number {
  const sides = (length: number): number[] =>
    starts(length, grid, smallest).map((start) => Math.min(grid.tile, length - start));
  return sides(height).reduce((sum, h) => sum + sides(width).reduce((row, w) => row + chainCost(stages, [h, w]), 0), 0);
}

/** The plan of a pass over tiles; undefined for an image that is no larger than one. */
export function blendPlan({ stages, config, direction, size }: ChainInput, tiling: BlendTiling): ChainPlan | undefined {
  const grid = tileGrid(config, direction, tiling);
  if (!needsTiles(grid, size)) return undefined;
  const smallest = direction === 'encode' ? scaleOf(config) : 1;
  const chain: Chain = (x, _taps, held) => tiledChain(stages, x, grid, smallest, held);
  return { chain, costPerImage: tilesCost(stages, size, grid, smallest), perImage: false };
}
