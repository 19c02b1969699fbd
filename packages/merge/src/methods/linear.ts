import { BLOCK, defineMethod, emptyLike, type MergeInputs } from './method.ts';
import { flag, number } from './parameter.ts';

export interface LinearParameters {
  /** One for each tensor. */
  readonly weight: readonly number[];
  /** Divide by the weights' sum. */
  readonly normalize: boolean;
}

function sumOfTwo([a, b]: readonly Float32Array[], [wa, wb]: readonly number[], out: Float32Array): Float32Array {
  for (let i = 0; i < out.length; i++) out[i] = wa * a[i] + wb * b[i];
  return out;
}

/** Sums in double precision, a block at a time. */
function sumOfAny(tensors: readonly Float32Array[], weights: readonly number[], out: Float32Array): Float32Array {
  const sums = new Float64Array(Math.min(BLOCK, out.length));
  for (let start = 0; start < out.length; start += BLOCK) {
    const count = Math.min(BLOCK, out.length - start);
    sums.fill(0);
    for (const [k, values] of tensors.entries()) {
      const weight = weights[k];
      for (let i = 0; i < count; i++) sums[i] += weight * values[start + i];
    }
    for (let i = 0; i < count; i++) out[start + i] = sums[i];
  }
  return out;
}

/** The weighted sum of the models, or their weighted mean.
 * @throws when the weights of a mean sum to zero @source arXiv 2203.05482 (model soups); mergekit linear */
export function linear(
  inputs: MergeInputs,
  { weight, normalize }: LinearParameters,
  out = emptyLike(inputs),
): Float32Array {
  const total = weight.reduce((sum, each) => sum + each, 0);
  if (normalize && Math.abs(total) < 1e-12) {
    throw new Error(
      `merge: linear: weights of a mean do not sum to 0; got ${weight.join(', ')} for "${inputs.name}"; set normalize: false`,
    );
  }
  const factors = normalize ? weight.map((each) => each / total) : weight;
  return inputs.tensors.length === 2 ? sumOfTwo(inputs.tensors, factors, out) : sumOfAny(inputs.tensors, factors, out);
}

export const linearMethod = defineMethod<LinearParameters>({
  name: 'linear',
  summary: 'the weighted mean of the models, or their weighted sum',
  source: 'arXiv 2203.05482',
  withoutBase: { min: 1, max: Number.POSITIVE_INFINITY },
  elementwise: true,
  parameters: {
    weight: number({ scope: 'model', summary: "the model's share" }),
    normalize: flag("divide by the weights' sum", true),
  },
  merge: linear,
});
