import { backend, slice, type Tensor4D } from '@tensorflow/tfjs-core';
import { bandedChain } from './bands/chain.ts';
import { scaleOf, type VaeConfig } from './config.ts';
import { checkpointedLayer, wholeLayer } from './layers.ts';
import { chainCost, channelsOf, type Size, type Stage, sizeAfter } from './stages.ts';
import { joinBatch, Taps } from './taps.ts';
import { needsTiles, type TileGrid, type TileOptions, tiledChain, tileGrid, tilesCost } from './tiles.ts';
import { wholeChain } from './whole.ts';
import type { Held, Work } from './work.ts';

/** In horizontal bands, layer by layer, with the whole image's norms and attention: no seams, the untiled result. */
export interface ExactTiling {
  readonly kind: 'exact';
  /** No tensor but the input, the result, taps and weights is larger. Default: 8 MiB, or 16 rows of the largest features
   * where that is more, and never more than the GPU binds. */
  readonly maxTensorBytes?: number;
}

/** diffusers' tiling: overlapping tiles, each normalised by itself, blended. Cheaper on giant images, not seamless. */
export interface BlendTiling extends TileOptions {
  readonly kind: 'blend';
}

export interface VaeOptions<Tap extends string = never> {
  /** Modules whose outputs to return too, in diffusers' spelling: `encoder.down_blocks.1`, `decoder.mid_block`. */
  readonly taps?: readonly Tap[];
  /** Compute each block again in the backward pass instead of keeping what is inside it. */
  readonly checkpointing?: boolean;
  /** One image of the batch at a time; tiling 'exact' implies it. */
  readonly slicing?: boolean;
  readonly tiling?: 'exact' | 'blend' | ExactTiling | BlendTiling;
}

/** A pass that has been set up and checked, and not begun. */
export interface Pass {
  readonly start: (held: Held) => Work<{ out: Tensor4D; taps: Record<string, Tensor4D> }>;
  /** In multiplications. */
  readonly cost: number;
}

type Direction = 'encode' | 'decode';

/** Larger bands measured no faster on native TensorFlow, and take more memory. */
const BAND_BYTES = 8 * 2 ** 20;
/** With fewer, the two rows that a band takes from its neighbours cost too much. */
const BAND_ROWS = 16;

/** Bytes of a row of the largest features that go into or come out of a stage. */
function widestRow(stages: readonly Stage[], size: Size): number {
  let at = size;
  return Math.max(
    ...stages.map(({ layer }) => {
      const [inputs, outputs] = channelsOf(layer);
      const before = at[1];
      at = sizeAfter(layer, at);
      return 4 * Math.max(before * inputs, at[1] * outputs);
    }),
  );
}

function defaultMaxTensorBytes(stages: readonly Stage[], size: Size): number {
  const { device } = backend() as { device?: { limits?: { maxStorageBufferBindingSize?: number } } };
  const wanted = Math.max(BAND_BYTES, BAND_ROWS * widestRow(stages, size));
  return Math.min(wanted, device?.limits?.maxStorageBufferBindingSize ?? wanted);
}

function checkInput(direction: Direction, config: VaeConfig, { rank, shape }: Tensor4D): void {
  const where = direction === 'encode' ? 'vaeEncode' : 'vaeDecode';
  const [what, channels] =
    direction === 'encode' ? ['image is', config.inChannels] : ['latents are', config.latentChannels];
  if (rank !== 4 || shape[3] !== channels) {
    throw new Error(
      `${where}: the ${what} [B, H, W, ${channels}]; got [${shape}]; channels come last, with a batch axis first`,
    );
  }
  const least = direction === 'encode' ? scaleOf(config) : 1;
  if (Math.min(shape[1], shape[2]) < least) {
    throw new Error(
      `${where}: sides of ${direction === 'encode' ? 'images' : 'latents'} are at least ${least}; got [${shape}]; resize or pad first`,
    );
  }
}

function checkOptions(options: VaeOptions<string>, kind: 'none' | 'exact' | 'blend'): void {
  if (kind === 'blend' && options.taps !== undefined && options.taps.length > 0) {
    throw new Error(
      `vae: blended tiles have no features of the whole image; got taps ${options.taps.join(', ')}; use tiling 'exact'`,
    );
  }
  if (kind !== 'none' && options.checkpointing) {
    throw new Error(`vae: checkpointing is of the untiled pass; got tiling '${kind}'; leave one of the two out`);
  }
}

/** How one image, or with neither tiling nor slicing the batch, goes through the chain. */
type Chain = (x_BHWC: Tensor4D, taps: Taps, held: Held) => Work<Tensor4D>;

function chainOf(
  stages: readonly Stage[],
  config: VaeConfig,
  direction: Direction,
  size: Size,
  options: VaeOptions<string>,
): { chain: Chain; costPerImage: number; perImage: boolean } {
  const tiling = typeof options.tiling === 'string' ? { kind: options.tiling } : options.tiling;
  if (tiling !== undefined && tiling.kind !== 'exact' && tiling.kind !== 'blend') {
    throw new Error(
      `vae: tiling is 'exact', 'blend' or an object of that kind; got ${JSON.stringify(options.tiling)}; leave it out for the whole image at once`,
    );
  }
  checkOptions(options, tiling?.kind ?? 'none');
  const perImage = options.slicing === true;
  if (tiling?.kind === 'exact') {
    const { maxTensorBytes = defaultMaxTensorBytes(stages, size) } = tiling as ExactTiling;
    const chain: Chain = (x, taps, held) => bandedChain(stages, x, taps, held, maxTensorBytes);
    return { chain, costPerImage: chainCost(stages, size), perImage: true };
  }
  if (tiling?.kind === 'blend') {
    const grid: TileGrid = tileGrid(config, direction, tiling as BlendTiling);
    const smallest = direction === 'encode' ? scaleOf(config) : 1;
    if (needsTiles(grid, size)) {
      const chain: Chain = (x, _taps, held) => tiledChain(stages, x, grid, smallest, held);
      return { chain, costPerImage: tilesCost(stages, size, grid, smallest), perImage };
    }
  }
  const layer = options.checkpointing ? checkpointedLayer : wholeLayer;
  const chain: Chain = (x, taps, held) => wholeChain(stages, x, taps, held, layer);
  return { chain, costPerImage: chainCost(stages, size), perImage };
}

/** Checks what is asked for and chooses how to do it. */
export function passOf(
  stages: readonly Stage[],
  config: VaeConfig,
  direction: Direction,
  x_BHWC: Tensor4D,
  options: VaeOptions<string>,
): Pass {
  checkInput(direction, config, x_BHWC);
  const [batch, height, width] = x_BHWC.shape;
  const { chain, costPerImage, perImage } = chainOf(stages, config, direction, [height, width], options);
  const where = direction === 'encode' ? 'vaeEncode' : 'vaeDecode';
  const { taps: wanted = [] } = options;
  function* start(held: Held): ReturnType<Pass['start']> {
    const taps = new Taps(where, wanted, stages, held);
    if (!perImage || batch === 1) {
      const out = yield* chain(x_BHWC, taps, held);
      return { out: held.release(out), taps: taps.result() };
    }
    const images: Tensor4D[] = [];
    for (let i = 0; i < batch; i++) {
      const image = held.hold(slice(x_BHWC, [i, 0, 0, 0], [1, -1, -1, -1]));
      images.push(yield* chain(image, taps, held));
      held.free(image);
    }
    return { out: joinBatch(images, held), taps: taps.result() };
  }
  return { start, cost: batch * costPerImage };
}
