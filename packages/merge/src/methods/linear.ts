import { BLOCK, defineMethod, emptyLike, type MergeInputs } from './method.ts';
import { flag, number } from './parameter.ts';

export interface LinearParameters {
  /** One for each tensor. */
  readonly weight: readonly number[];
  /** Divide by the weights' sum. */
  readonly normalize: boolean;
}

/** Weights of a mean that sum to less are taken for 0. */
const LEAST_SUM = 1e-12;

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

function checkSum({ weight, normalize }: LinearParameters): void {
  if (!normalize || Math.abs(weight.reduce((sum, each) => sum + each, 0)) >= LEAST_SUM) return;
  throw new Error(
    `merge: linear: weights of a mean do not sum to 0; got ${weight.join(', ')}; change one, or set normalize: false`,
  );
}

/** The weighted sum of the models, or their weighted mean.
 * @throws when the weights of a mean sum to zero @source arXiv 2203.05482 (model soups); mergekit linear */
export function linear(inputs: MergeInputs, parameters: LinearParameters, out = emptyLike(inputs)): Float32Array {
  checkSum(parameters);
  const { weight, normalize } = parameters;
  const total = normalize ? weight.reduce((sum, each) => sum + each, 0) : 1;
  const factors = weight.map((each) => each / total);
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
  check: checkSum,
  merge: linear,
});
