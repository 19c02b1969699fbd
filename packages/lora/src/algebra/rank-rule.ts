import { sumOf, sumOfSquares } from './matrix.ts';

/** How many ranks are kept: a number, or those whose singular values are more than the largest over `ratio`, or the fewest that have
 * a share of the Frobenius norm (`frobenius`) or of the sum of the values (`cumulative`).
 * @source kohya sd-scripts resize_lora: new_rank, sv_ratio, sv_fro, sv_cumulative */
export type RankRule =
  | { readonly rank: number }
  | { readonly ratio: number }
  | { readonly frobenius: number }
  | { readonly cumulative: number };

/** @throws when it is not one rule with a value that makes sense */
export function checkRule(rule: RankRule): void {
  const [[name, value], ...more] = Object.entries(rule) as [string, number][];
  const isShare = value > 0 && value <= 1;
  const fits = {
    rank: Number.isInteger(value) && value >= 1,
    ratio: value >= 1,
    frobenius: isShare,
    cumulative: isShare,
  };
  if (more.length === 0 && fits[name as keyof typeof fits]) return;
  throw new Error(
    `lora: a rank is kept by { rank: 1, 2, ... }, { ratio: 1 or more }, { frobenius: (0, 1] } or { cumulative: (0, 1] }; got ${JSON.stringify(rule)}; give one of them`,
  );
}

// Rounding must not ask for one more at a share of 1.
const ROUNDING = 1e-12;

/** How many of the first values reach a sum; one more than there are where they do not. */
function reaching(values: Float64Array, goal: number): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) {
    total += values[i];
    if (total >= goal * (1 - ROUNDING)) return i + 1;
  }
  return values.length + 1;
}

/** How many values a rule asks for. `s` may lack the smallest ones: `squares` is the sum of the squares of all. The answer is
 * more than there are in `s` where these are too few to tell; by their sum that cannot be told. */
export function wantedRank(rule: RankRule, s: Float64Array, squares = sumOfSquares(s)): number {
  if (s[0] === 0) return 1;
  if ('rank' in rule) return rule.rank;
  if ('cumulative' in rule) return reaching(s, rule.cumulative * sumOf(s));
  if ('frobenius' in rule)
    return reaching(
      s.map((value) => value ** 2),
      rule.frobenius ** 2 * squares,
    );
  const least = s.findIndex((value) => value * rule.ratio <= s[0]);
  return Math.max(1, least === -1 ? s.length + 1 : least);
}

/** The share of the Frobenius norm that the first values have, in [0, 1]. */
export function keptShare(s: Float64Array, rank: number, squares = sumOfSquares(s)): number {
  return squares === 0 ? 1 : Math.min(1, Math.sqrt(sumOfSquares(s.subarray(0, rank)) / squares));
}
