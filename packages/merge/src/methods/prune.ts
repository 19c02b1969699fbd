import { type Blocks, keptCount, thresholdOf } from './keep-largest.ts';
import { BLOCK } from './method.ts';

export const RESCALES = ['none', 'magnitude', 'density'] as const;
/** How what is kept makes up for what is dropped: not; to the same sum of magnitudes, as mergekit does; by 1 / density, as the
 * DARE paper does, which leaves each value's mean as it was. */
export type Rescale = (typeof RESCALES)[number];

/** Below this sum of magnitudes nothing is rescaled. @source mergekit rescaled_masked_tensor */
const LEAST_SUM = 1e-7;

/** Drops values of a block, in place; blocks come in order, from the first. */
type Dropper = (values: Float32Array) => void;

/** Starts over at the first block. */
type Pruning = () => Dropper;

function byMagnitude(blocks: Blocks, density: number): Pruning {
  const count = keptCount(density, blocks.length);
  if (count === blocks.length) return () => () => {};
  if (count === 0) return () => (values) => void values.fill(0);
  const { bits: threshold, equals } = thresholdOf(blocks, count);
  return () => {
    let left = equals;
    return (values) => {
      const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
      for (let i = 0; i < values.length; i++) {
        const own = bits[i] & 0x7fffffff;
        // Of equals the earlier are kept.
        if (own < threshold || (own === threshold && left-- <= 0)) values[i] = 0;
      }
    };
  };
}

function atRandom(density: number, random: () => () => number): Pruning {
  if (density >= 1) return () => () => {};
  return () => {
    const next = random();
    return (values) => {
      for (let i = 0; i < values.length; i++) if (next() >= density) values[i] = 0;
    };
  };
}

const sumOfMagnitudes = (values: Float32Array): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.abs(values[i]);
  return sum;
};

function factorFor(blocks: Blocks, pruning: Pruning, density: number, rescale: Rescale): number {
  if (rescale === 'none' || density >= 1) return 1;
  if (rescale === 'density') return density > 0 ? 1 / density : 1;
  const drop = pruning();
  let [before, after] = [0, 0];
  const values = new Float32Array(Math.min(BLOCK, blocks.length));
  for (let start = 0; start < blocks.length; start += BLOCK) {
    const block = values.subarray(0, Math.min(BLOCK, blocks.length - start));
    blocks.fill(start, block);
    before += sumOfMagnitudes(block);
    drop(block);
    after += sumOfMagnitudes(block);
  }
  return before < LEAST_SUM || after < LEAST_SUM ? 1 : before / after;
}

/** How a method drops values: the smallest (TIES), or at random (DARE). `random` starts a source of numbers in [0, 1) anew. */
export type Drop = { readonly by: 'magnitude' } | { readonly by: 'chance'; readonly random: () => () => number };

/** What is left of values at a density, block after block: fills `into` and gives the factor that rescales it.
 * @source arXiv 2306.01708 (TIES), 2311.03099 (DARE) */
export function pruned(
  blocks: Blocks,
  density: number,
  drop: Drop,
  rescale: Rescale,
): { factor: number; fill: Blocks['fill'] } {
  const pruning = drop.by === 'magnitude' ? byMagnitude(blocks, density) : atRandom(density, drop.random);
  const factor = factorFor(blocks, pruning, density, rescale);
  const dropper = pruning();
  return {
    factor,
    fill(start, into) {
      blocks.fill(start, into);
      dropper(into);
    },
  };
}
