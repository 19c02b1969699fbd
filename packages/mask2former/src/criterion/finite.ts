import {
  cast,
  isFinite as isFiniteTensor,
  logicalNot,
  reshape,
  scalar,
  stack,
  sum,
  type Tensor,
  type Tensor2D,
  tidy,
} from '@tensorflow/tfjs-core';
import type { Prediction } from '../outputs.ts';
import type { ResolvedOptions } from './options.ts';
import { refuse } from './refuse.ts';
import type { MaskTargets } from './targets.ts';

const LEAVE_OUT = "or leave such images out by nonFinite: 'skip'";

/** How many of each image's numbers are not finite. @shape [B, ...] -> [B] */
function countNonFinite(x: Tensor): Tensor {
  const wrong = cast(logicalNot(isFiniteTensor(x)), 'float32');
  return sum(reshape(wrong, [x.shape[0], x.size / x.shape[0]]), 1);
}

/** The sum of each image's masks: not finite where a pixel is not, and cheaper than a look at each of so many. WebGPU
 * has no sum of nothing. @shape -> [B] */
const targetSums = (targets: readonly MaskTargets[]): Tensor =>
  stack(targets.map(({ masks }) => (masks.size === 0 ? scalar(0) : sum(masks))));

/** The images with targets or logits that are not finite. @throws at the first of them, naming it, unless such
 * images are skipped */
export async function nonFiniteImages(
  layers: readonly Prediction[],
  targets: readonly MaskTargets[],
  { nonFinite }: ResolvedOptions,
): Promise<Set<number>> {
  const rows = tidy(() => {
    const counts = layers.flatMap((layer) => [layer.classQueriesLogits, layer.masksQueriesLogits].map(countNonFinite));
    return stack([targetSums(targets), ...counts]);
  });
  const values = await rows.data();
  rows.dispose();
  const batch = targets.length;
  const skipped = new Set<number>();
  for (const [i, value] of values.entries()) {
    const [row, image] = [Math.floor(i / batch) - 1, i % batch];
    if (row < 0 ? Number.isFinite(value) : value === 0) continue;
    if (nonFinite === 'throw' && row < 0) {
      const got = `numbers that sum to ${value} in masks of image ${image}`;
      refuse('targets are finite', got, `correct the data, ${LEAVE_OUT}`);
    }
    if (nonFinite === 'throw') {
      const name = row % 2 === 0 ? 'classQueriesLogits' : 'masksQueriesLogits';
      const place = `${name} of image ${image}, layer ${Math.floor(row / 2)} of ${layers.length}`;
      refuse('logits are finite', `${value} that are not in ${place}`, `lower the learning rate, ${LEAVE_OUT}`);
    }
    skipped.add(image);
  }
  return skipped;
}

/** One image's costs in one layer, read from the backend. */
export interface Costs {
  readonly values: ArrayLike<number>;
  /** [Q, N] */
  readonly shape: Tensor2D['shape'];
  readonly layer: number;
  readonly image: number;
}

/** Whether an image's costs can be summed: logits may be finite, and yet too large. @throws when not, unless such
 * images are skipped */
export function costsAreFinite({ values, shape, layer, image }: Costs, { nonFinite }: ResolvedOptions): boolean {
  const wrong = Array.prototype.findIndex.call(values, (value) => !Number.isFinite(value));
  if (wrong < 0) return true;
  if (nonFinite === 'throw') {
    const [query, target] = [Math.floor(wrong / shape[1]), wrong % shape[1]];
    const got = `${values[wrong]} for query ${query} and target ${target} of image ${image}, layer ${layer}, from finite logits`;
    refuse('costs are finite', got, `the logits are too large: lower the learning rate, ${LEAVE_OUT}`);
  }
  return false;
}
