import { namedRandom } from '@rass/nn';

export type SignMethod = 'total' | 'frequency';

/** Keeps the values of largest magnitude, whole(density * count) of them; of equal ones the earlier. @source arXiv 2306.01708 (TIES) */
export function pruneByMagnitude(values: Float32Array, density: number): Float32Array {
  if (density >= 1) return values;
  const count = Math.floor(density * values.length);
  const out = new Float32Array(values.length);
  if (count === 0) return out;
  const bound = values.map(Math.abs).sort()[values.length - count];
  let equals = count - values.reduce((total, value) => total + (Math.abs(value) > bound ? 1 : 0), 0);
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]);
    if (magnitude > bound || (magnitude === bound && equals-- > 0)) out[i] = values[i];
  }
  return out;
}

/** Drops values at random and scales the others, so that the mean stays. @source arXiv 2311.03099 (DARE) */
export function pruneAtRandom(values: Float32Array, density: number, seed: number, name: string): Float32Array {
  if (density >= 1) return values;
  const next = namedRandom(seed, name);
  return values.map((value) => (next() < density ? value / density : 0));
}

/** The weighted sum. */
export function weightedSum(tensors: readonly Float32Array[], weights: readonly number[]): Float32Array {
  const out = new Float32Array(tensors[0].length);
  for (const [k, values] of tensors.entries()) for (let i = 0; i < out.length; i++) out[i] += weights[k] * values[i];
  return out;
}

/** The weighted mean of those values that have the sign that most of them have: by their sum, or by their count.
 * @source arXiv 2306.01708 (TIES); peft disjoint_merge */
export function disjointMean(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  method: SignMethod,
): Float32Array {
  const out = new Float32Array(tensors[0].length);
  for (let i = 0; i < out.length; i++) {
    let total = 0;
    for (const values of tensors) total += method === 'total' ? values[i] : Math.sign(values[i]);
    const majority = total >= 0 ? 1 : -1;
    let sum = 0;
    let count = 0;
    for (const [k, values] of tensors.entries()) {
      if (Math.sign(values[i]) !== majority) continue;
      sum += weights[k] * values[i];
      count++;
    }
    out[i] = sum / Math.max(1, count);
  }
  return out;
}
