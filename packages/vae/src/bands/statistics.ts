import { type GroupNorm, plainLayer } from '@rass/nn';
import {
  add,
  batchNorm,
  div,
  mean,
  mul,
  reshape,
  squaredDifference,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
  tidy,
  tile,
} from '@tensorflow/tfjs-core';
import type { Held } from '../work.ts';
import type { Bands } from './bands.ts';

/** Per channel, equal within a group. */
export interface Statistics {
  readonly mean: Tensor1D;
  readonly variance: Tensor1D;
}

/** The mean over all rows, columns and each group's channels of what `measure` makes of a strip. @shape [C] */
function groupMean(bands: Bands, groups: number, measure: (rows: Tensor4D) => Tensor4D): Tensor1D {
  const sums = bands.strips.map(({ rows }) => tidy((): Tensor => mul(mean(measure(rows), [0, 1, 2]), rows.shape[1])));
  const total = sums.reduce((a, b) => add(a, b));
  const byGroup = mean(reshape(div(total, bands.height), [groups, -1]), 1, true);
  return reshape(tile(byGroup, [1, bands.channels / groups]), [bands.channels]);
}

/** A group norm's statistics of the whole image, from its strips, in two passes as for a whole tensor: the variance
 * from squares about the final mean. E[x^2] - E[x]^2 would cancel in float32. */
export function holdStatistics(bands: Bands, { groups }: GroupNorm, held: Held): Statistics {
  const statistics = tidy(() => {
    const centre = groupMean(bands, groups, (rows) => rows);
    return { mean: centre, variance: groupMean(bands, groups, (rows) => squaredDifference(rows, centre)) };
  });
  return { mean: held.hold(statistics.mean), variance: held.hold(statistics.variance) };
}

export function freeStatistics({ mean: centre, variance }: Statistics, held: Held): void {
  held.free(centre);
  held.free(variance);
}

/** Some rows of an image, normalised by the whole image's statistics. @shape [1, h, W, C] -> same */
export function normalized(p: GroupNorm, { mean, variance }: Statistics, rows: Tensor4D): Tensor4D {
  const { bias, weight, epsilon } = plainLayer(p);
  return batchNorm(rows, mean, variance, bias, weight, epsilon);
}
