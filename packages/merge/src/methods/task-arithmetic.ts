import { namedRandom } from '@rass/nn';
import { BLOCK, baseOf, defineMethod, emptyLike, type MergeInputs, type MergeMethod } from './method.ts';
import { choice, flag, number, type ParameterSpec, wholeNumber } from './parameter.ts';
import { type Drop, pruned, RESCALES, type Rescale } from './prune.ts';

export interface TaskParameters {
  /** One for each tensor. */
  readonly weight: readonly number[];
  /** Multiplies the sum. */
  readonly lambda: number;
  /** Divide by the sum of the weights that took part. */
  readonly normalize: boolean;
}

export interface TiesParameters extends TaskParameters {
  /** The share of values that each model keeps. */
  readonly density: readonly number[];
  readonly rescale: Rescale;
}

export interface DareParameters extends TiesParameters {
  readonly seed: number;
}

/** Weights that sum to less are not divided by. @source mergekit GeneralizedTaskArithmeticMerge */
const LEAST_WEIGHT = 1e-8;

/** A block's differences of each model, weighted, to the sum over the models. Returns what normalize divides by in `divisors`. */
type Consensus = (deltas: readonly Float64Array[], weights: readonly number[], count: number, sums: Sums) => void;

interface Sums {
  readonly mixed: Float64Array;
  readonly divisors: Float64Array;
}

const sumAll: Consensus = (deltas, weights, count, { mixed, divisors }) => {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  divisors.fill(Math.abs(total) < LEAST_WEIGHT ? 1 : total);
  mixed.fill(0);
  for (const delta of deltas) for (let i = 0; i < count; i++) mixed[i] += delta[i];
};

/** Only what has the sign of the sum counts, and only the weights of what counts. @source arXiv 2306.01708 (TIES) */
const electSigns: Consensus = (deltas, weights, count, { mixed, divisors }) => {
  for (let i = 0; i < count; i++) {
    let total = 0;
    for (const delta of deltas) total += delta[i];
    const sign = total >= 0 ? 1 : -1;
    let [sum, divisor] = [0, 0];
    for (let k = 0; k < deltas.length; k++) {
      const value = deltas[k][i];
      if (!(value * sign > 0) && !Number.isNaN(value)) continue;
      sum += value;
      divisor += weights[k];
    }
    mixed[i] = sum;
    divisors[i] = divisor === 0 ? 1 : divisor;
  }
};

interface Plan extends TaskParameters {
  readonly density?: readonly number[];
  readonly rescale?: Rescale;
  readonly drop: (model: number) => Drop;
  readonly consensus: Consensus;
}

/** The base and what the models have beyond it, thinned out, weighted and summed. No difference is ever stored whole. */
function addTasks(inputs: MergeInputs, plan: Plan, out: Float32Array): Float32Array {
  const { tensors } = inputs;
  const base = baseOf('task arithmetic', inputs);
  const { weight, lambda, normalize, density, rescale = 'none', drop, consensus } = plan;
  const models = tensors.map((values, k) => {
    const fill = (start: number, into: Float32Array) => {
      for (let i = 0; i < into.length; i++) into[i] = values[start + i] - base[start + i];
    };
    const blocks = { length: base.length, fill };
    return pruned(blocks, density?.[k] ?? 1, drop(k), rescale);
  });
  const size = Math.min(BLOCK, base.length);
  const deltas = models.map(() => new Float64Array(size));
  const sums = { mixed: new Float64Array(size), divisors: new Float64Array(size) };
  const values = new Float32Array(size);
  for (let start = 0; start < base.length; start += BLOCK) {
    const count = Math.min(BLOCK, base.length - start);
    for (const [k, { fill, factor }] of models.entries()) {
      fill(start, values.subarray(0, count));
      const scale = weight[k] * factor;
      for (let i = 0; i < count; i++) deltas[k][i] = scale * values[i];
    }
    consensus(deltas, weight, count, sums);
    for (let i = 0; i < count; i++) {
      const share = normalize ? lambda / sums.divisors[i] : lambda;
      out[start + i] = base[start + i] + share * sums.mixed[i];
    }
  }
  return out;
}

const MAGNITUDE = (): Drop => ({ by: 'magnitude' });

/** The base and the weighted sum of what the models have beyond it.
 * @source arXiv 2212.04089; mergekit task_arithmetic */
export function taskArithmetic(inputs: MergeInputs, parameters: TaskParameters, out = emptyLike(inputs)): Float32Array {
  return addTasks(inputs, { ...parameters, drop: MAGNITUDE, consensus: sumAll }, out);
}

/** Each model's largest differences from the base; of those, the ones with the sign that outweighs the other.
 * @source arXiv 2306.01708; mergekit ties */
export function ties(inputs: MergeInputs, parameters: TiesParameters, out = emptyLike(inputs)): Float32Array {
  return addTasks(inputs, { ...parameters, drop: MAGNITUDE, consensus: electSigns }, out);
}

/** Starts a model's source of random numbers in [0, 1). */
export type RandomOf = (model: number) => () => number;

const seeded =
  (seed: number, name: string): RandomOf =>
  (model) =>
    namedRandom(seed, `${name} ${model}`);

/** The base and the weighted sum of random shares of what the models have beyond it. What is drawn depends on the seed, the tensor's
 * name and the model's number alone. @source arXiv 2311.03099; mergekit dare_linear */
export function dareLinear(
  inputs: MergeInputs,
  parameters: DareParameters,
  out = emptyLike(inputs),
  randomOf = seeded(parameters.seed, inputs.name),
): Float32Array {
  const drop = (model: number): Drop => ({ by: 'chance', random: () => randomOf(model) });
  return addTasks(inputs, { ...parameters, drop, consensus: sumAll }, out);
}

/** As dareLinear, with the signs elected as TIES does. @source arXiv 2311.03099; mergekit dare_ties */
export function dareTies(
  inputs: MergeInputs,
  parameters: DareParameters,
  out = emptyLike(inputs),
  randomOf = seeded(parameters.seed, inputs.name),
): Float32Array {
  const drop = (model: number): Drop => ({ by: 'chance', random: () => randomOf(model) });
  return addTasks(inputs, { ...parameters, drop, consensus: electSigns }, out);
}

const taskParameters = (normalize: boolean) => ({
  weight: number({ scope: 'model', summary: "multiplies the model's difference from the base" }),
  lambda: number({ scope: 'merge', default: 1, summary: 'multiplies the sum' }),
  normalize: flag('divide by the sum of the weights that take part', normalize),
});

// mergekit says true and false.
const SPELLINGS = new Map<unknown, Rescale>([
  [true, 'magnitude'],
  [false, 'none'],
]);

const tiesParameters = (normalize: boolean, rescale: Rescale) => ({
  ...taskParameters(normalize),
  density: number({ scope: 'model', min: 0, max: 1, default: 1, summary: 'the share of differences that is kept' }),
  rescale: choice(
    RESCALES,
    'make up for what is dropped: to the same sum of magnitudes, or by 1 / density',
    rescale,
    SPELLINGS,
  ),
});

const dareParameters: Readonly<Record<keyof DareParameters, ParameterSpec>> = {
  ...tiesParameters(false, 'magnitude'),
  seed: wholeNumber('starts the random choice', 0),
};

const common = { withBase: { min: 1, max: Number.POSITIVE_INFINITY } };

export const taskMethods: readonly MergeMethod[] = [
  defineMethod<TaskParameters>({
    ...common,
    name: 'task_arithmetic',
    summary: 'the base and the weighted sum of what the models have beyond it',
    source: 'arXiv 2212.04089',
    elementwise: true,
    parameters: taskParameters(false),
    merge: taskArithmetic,
  }),
  defineMethod<TiesParameters>({
    ...common,
    name: 'ties',
    summary: "the models' largest differences from the base, where their signs agree",
    source: 'arXiv 2306.01708',
    elementwise: false,
    parameters: tiesParameters(true, 'none'),
    merge: ties,
  }),
  defineMethod<DareParameters>({
    ...common,
    name: 'dare_linear',
    summary: "a random share of the models' differences from the base, rescaled and summed",
    source: 'arXiv 2311.03099',
    elementwise: false,
    parameters: dareParameters,
    merge: dareLinear,
  }),
  defineMethod<DareParameters>({
    ...common,
    name: 'dare_ties',
    summary: "a random share of the models' differences from the base, where their signs agree",
    source: 'arXiv 2311.03099',
    elementwise: false,
    parameters: dareParameters,
    merge: dareTies,
  }),
];
