import type { HostTensor, LoraUpdate } from '../state.ts';
import { exactSvd, type Svd } from './decompositions.ts';
import { firstColumns, type Matrix, matrixOf, scaleColumns, sumOfSquares, transpose } from './matrix.ts';
import { checkRule, keptShare, type RankRule, wantedRank } from './rank-rule.ts';
import { factorTensors } from './starts.ts';
import { isSampled, truncatedSvd } from './svd.ts';

/** What limits the rank that a rule asks for. */
export interface RankLimits {
  /** No layer has more ranks than this; for convolutions larger than 1 x 1 `maxConvRank` counts. */
  maxRank?: number;
  maxConvRank?: number;
}

export interface LowRankOptions extends RankLimits {
  /** For matrices whose sides are so large that their decomposition starts from a random sample. */
  seed?: number;
  /** The quantile of the factors' values at which they are cut off, up and down. @source kohya, 0.99 there */
  clampQuantile?: number;
}

/** The most ranks that a layer may have. @shape [O, I] or [O, I, Kh, Kw] @throws when a limit is no whole number from 1 on */
export function rankLimit(
  shape: readonly number[],
  { maxRank = Number.POSITIVE_INFINITY, maxConvRank }: RankLimits,
): number {
  for (const [name, limit] of Object.entries({ maxRank, maxConvRank })) {
    if (limit === undefined || limit === Number.POSITIVE_INFINITY || (Number.isInteger(limit) && limit >= 1)) continue;
    throw new Error(`lora: ${name} is a whole number from 1 on; got ${limit}; give one, or leave it out`);
  }
  const isLarge = shape.length === 4 && shape[2] * shape[3] > 1;
  return isLarge ? (maxConvRank ?? maxRank) : maxRank;
}

/** Factors of the first ranks of a decomposition, the values shared between them. */
export function balancedFactors(
  { u, s, v }: Svd,
  rank: number,
  shape: readonly number[],
): { down: HostTensor; up: HostTensor } {
  const roots = s.slice(0, rank).map(Math.sqrt);
  const [left, right] = [u, v].map((vectors) => scaleColumns(firstColumns(vectors, rank), roots));
  return factorTensors(left, transpose(right), shape);
}

/** Cuts values off, in place, at a quantile of all of them and at minus it. @throws when it is not in (0, 1]
 * @source peft svd_clamp; kohya clamp_quantile */
export function clampToQuantile(quantile: number, { down, up }: { down: HostTensor; up: HostTensor }): void {
  if (!(quantile > 0 && quantile <= 1)) {
    throw new Error(`lora: factors are cut off at a quantile in (0, 1]; got ${quantile}; give one, such as 0.99`);
  }
  const sorted = new Float32Array(up.data.length + down.data.length);
  sorted.set(up.data);
  sorted.set(down.data, up.data.length);
  sorted.sort();
  const position = quantile * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(position)], sorted[Math.ceil(position)]];
  const bound = Math.abs(low + (high - low) * (position - Math.floor(position)));
  for (const { data } of [up, down]) {
    for (let i = 0; i < data.length; i++) data[i] = Math.max(-bound, Math.min(bound, data[i]));
  }
}

/** How many values are looked for first where their share decides how many are needed. */
const FIRST_TRY = 16;

/** As many of the largest singular values as a rule needs: a few at first, then more, then all. */
function decomposed(whole: Matrix, rule: RankRule, most: number, squares: number, seed?: number): Svd {
  if ('rank' in rule) return truncatedSvd(whole, Math.min(rule.rank, most), { seed });
  if (!('cumulative' in rule)) {
    for (let count = FIRST_TRY; isSampled(whole, count); count *= 2) {
      const svd = truncatedSvd(whole, Math.min(count, most), { seed });
      if (count >= most || wantedRank(rule, svd.s, squares) <= count) return svd;
    }
  }
  return exactSvd(whole);
}

/** A difference of weights as a plain LoRA of the rank that a rule asks for, and the share of its Frobenius norm that is kept.
 * @shape delta [O, I] or [O, I, Kh, Kw] @throws on a rule that makes no sense */
export function lowRankUpdate(
  delta: HostTensor,
  rule: RankRule,
  options: LowRankOptions = {},
): { update: LoraUpdate; kept: number } {
  checkRule(rule);
  const whole = matrixOf(delta.shape[0], delta.data);
  const most = Math.min(whole.rows, whole.columns, rankLimit(delta.shape, options));
  const squares = sumOfSquares(whole.data);
  const svd = decomposed(whole, rule, most, squares, options.seed);
  const rank = Math.min(wantedRank(rule, svd.s, squares), most);
  const kept = keptShare(svd.s, rank, squares);
  if (options.clampQuantile === undefined) {
    return { update: { kind: 'lora', ...balancedFactors(svd, rank, delta.shape), alpha: rank }, kept };
  }
  const left = scaleColumns(firstColumns(svd.u, rank), svd.s);
  const factors = factorTensors(left, transpose(firstColumns(svd.v, rank)), delta.shape);
  clampToQuantile(options.clampQuantile, factors);
  return { update: { kind: 'lora', ...factors, alpha: rank }, kept };
}
