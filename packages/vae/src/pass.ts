import { slice, type Tensor4D } from '@tensorflow/tfjs-core';
import type { ExactTiling } from './bands/exact.ts';
import { scaleOf, type VaeConfig } from './config.ts';
import { checkpointedLayer, wholeLayer } from './layers.ts';
import type { Chain, ChainInput, ChainPlan, Direction, Tiler } from './plan.ts';
import { chainCost, type Stage } from './stages.ts';
import { joinBatch, Taps } from './taps.ts';
import type { BlendTiling } from './tiles.ts';
import { wholeChain } from './whole.ts';
import type { Held, Work } from './work.ts';

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

/** What cuts images, by the kind of tiling: given by who starts the pass, so that what never tiles need not load it. */
export interface Tilers {
  readonly exact?: Tiler<ExactTiling>;
  readonly blend?: Tiler<BlendTiling>;
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

type Tiling = ExactTiling | BlendTiling;

/** @throws when it is none */
export function tilingOf({ tiling: given }: VaeOptions<string>): Tiling | undefined {
  const tiling = typeof given === 'string' ? { kind: given } : given;
  if (tiling === undefined || tiling.kind === 'exact' || tiling.kind === 'blend') return tiling;
  throw new Error(
    `vae: tiling is 'exact', 'blend' or an object of that kind; got ${JSON.stringify(given)}; leave it out for the whole image at once`,
  );
}

function tiledPlan(input: ChainInput, tiling: Tiling, { exact, blend }: Tilers): ChainPlan | undefined {
  if (tiling.kind === 'exact' && exact !== undefined) return exact(input, tiling);
  if (tiling.kind === 'blend' && blend !== undefined) return blend(input, tiling);
  throw new Error(`vae: images go whole here; got tiling '${tiling.kind}'; use vaeEncode or vaeDecode`);
}

function wholePlan({ stages, size }: ChainInput, checkpointing: boolean | undefined): ChainPlan {
  const layer = checkpointing ? checkpointedLayer : wholeLayer;
  const chain: Chain = (x, taps, held) => wholeChain(stages, x, taps, held, layer);
  return { chain, costPerImage: chainCost(stages, size), perImage: false };
}

function planOf(input: ChainInput, options: VaeOptions<string>, tilers: Tilers): ChainPlan {
  const tiling = tilingOf(options);
  checkOptions(options, tiling?.kind ?? 'none');
  const { checkpointing, slicing = false } = options;
  const tiled = tiling && tiledPlan(input, tiling, tilers);
  const plan = tiled ?? wholePlan(input, checkpointing);
  return { ...plan, perImage: plan.perImage || slicing };
}

/** Checks what is asked for and chooses how to do it. */
export function passOf(
  stages: readonly Stage[],
  config: VaeConfig,
  direction: Direction,
  x_BHWC: Tensor4D,
  options: VaeOptions<string>,
  tilers: Tilers,
): Pass {
  checkInput(direction, config, x_BHWC);
  const [batch, height, width] = x_BHWC.shape;
  const input: ChainInput = { stages, config, direction, size: [height, width] };
  const { chain, costPerImage, perImage } = planOf(input, options, tilers);
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
    const out = joinBatch(images, held);
    const found = taps.result();
    return { out: held.release(out), taps: found };
  }
  return { start, cost: batch * costPerImage };
}
