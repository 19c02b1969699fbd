import type { Tensor4D } from '@tensorflow/tfjs-core';
import { wholeLayer } from './layers.ts';
import { costOf, type Stage } from './stages.ts';
import type { Taps } from './taps.ts';
import type { Held, Work } from './work.ts';

/** The chain on whole tensors. @shape [B, H, W, C] -> [B, H', W', C'] */
export function* wholeChain(
  stages: readonly Stage[],
  x_BHWC: Tensor4D,
  taps: Taps,
  held: Held,
  run: typeof wholeLayer = wholeLayer,
): Work<Tensor4D> {
  let at = x_BHWC;
  for (const { layer, paths } of stages) {
    const next = held.hold(run(layer, at));
    const [height, width] = at.shape.slice(1);
    const cost = at.shape[0] * costOf(layer, [height, width]);
    held.free(at);
    at = next;
    taps.take(paths, () => at.clone());
    yield { cost, at: paths[0], made: at };
  }
  return at;
}
