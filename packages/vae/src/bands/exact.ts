import { backend } from '@tensorflow/tfjs-core';
import type { Chain, ChainInput, ChainPlan } from '../plan.ts';
import { chainCost, channelsOf, type Size, type Stage, sizeAfter } from '../stages.ts';
import { bandedChain } from './chain.ts';

/** In horizontal bands, layer by layer, with the whole image's norms and attention: no seams, the untiled result. */
export interface ExactTiling {
  readonly kind: 'exact';
  /** No tensor but the input, the result, taps and weights is larger. Default: 8 MiB, or 16 rows of the largest features
   * where that is more, and never more than the GPU binds. */
  readonly maxTensorBytes?: number;
}

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

/** The plan of a pass in bands. */
export function exactPlan({ stages, size }: ChainInput, tiling: ExactTiling): ChainPlan {
  const { maxTensorBytes = defaultMaxTensorBytes(stages, size) } = tiling;
  const chain: Chain = (x, taps, held) => bandedChain(stages, x, taps, held, maxTensorBytes);
  return { chain, costPerImage: chainCost(stages, size), perImage: true };
}
