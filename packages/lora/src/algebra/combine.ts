import { closest } from '@rass/nn';
import type { LoraConfig } from '../config.ts';
import type { AdapterState, HostTensor, LayerUpdate, LoraUpdate } from '../state.ts';
import type { Svd } from './decompositions.ts';
import { scaleOf, updateDelta, updateShape } from './delta.ts';
import { configOf } from './layer-config.ts';
import { clampToQuantile } from './low-rank.ts';
import { firstColumns, matrixOf, scaleColumns, transpose } from './matrix.ts';
import { disjointMean, pruneAtRandom, pruneByMagnitude, type SignMethod, weightedSum } from './prune.ts';
import { factorTensors } from './starts.ts';
import { productSvd, truncatedSvd } from './svd.ts';

const FACTOR_METHODS = ['linear', 'ties', 'dare_linear', 'dare_ties', 'magnitude_prune'] as const;
const SVD_METHODS = ['svd', 'ties_svd', 'dare_linear_svd', 'dare_ties_svd', 'magnitude_prune_svd'] as const;

/** Ways to make one adapter of several. @source peft add_weighted_adapter */
export const COMBINE_METHODS = [...FACTOR_METHODS, 'cat', ...SVD_METHODS] as const;
export type CombineMethod = (typeof COMBINE_METHODS)[number];

export interface CombineOptions {
  /** `cat` and `svd` are exact up to the rank; the others work on the factors and are rough, as in PEFT. */
  method: CombineMethod;
  /** One for each adapter; they may be negative. Default 1 each. */
  weights?: readonly number[];
  /** The share of values that ties, dare and magnitude_prune keep, in (0, 1]. */
  density?: number;
  majoritySign?: SignMethod;
  /** The rank of an `svd` result; default the largest of the adapters'. No layer has more than its products have together. */
  svdRank?: number;
  /** The quantile at which an `svd` result's factors are cut off. */
  svdClamp?: number;
  /** For dare. */
  seed?: number;
}

const isSvd = (method: CombineMethod): boolean => method.endsWith('svd');

interface Checked extends CombineOptions {
  weights: readonly number[];
}

function checkMethod({ method, density }: CombineOptions): void {
  if (!COMBINE_METHODS.includes(method)) {
    throw new Error(
      `lora: adapters are combined by ${COMBINE_METHODS.join(', ')}; got "${method}"; closest: ${closest(method, COMBINE_METHODS)[0]}`,
    );
  }
  const prunes = /ties|dare|prune/.test(method);
  if (prunes === (density !== undefined) && (density === undefined || (density > 0 && density <= 1))) return;
  throw new Error(
    `lora: ${method} ${prunes ? 'keeps a density in (0, 1]' : 'has no density'}; got ${density}; ${prunes ? 'give one, such as 0.5' : 'leave it out'}`,
  );
}

/** @throws on an option that the method does not have */
function checkOptions(options: CombineOptions): void {
  const { method, svdRank } = options;
  const idle = [
    ['svdRank', isSvd(method)],
    ['svdClamp', isSvd(method)],
    ['majoritySign', method.includes('ties')],
  ] as const;
  const [unused] = idle.find(([name, acts]) => !acts && options[name] !== undefined) ?? [];
  if (unused !== undefined) {
    throw new Error(`lora: ${method} has no ${unused}; got ${options[unused]}; leave it out, or choose another method`);
  }
  if (svdRank === undefined || (Number.isInteger(svdRank) && svdRank >= 1)) return;
  throw new Error(`lora: svdRank is a whole number from 1 on; got ${svdRank}; give one, or leave it out`);
}

function check(states: readonly AdapterState[], options: CombineOptions): Checked {
  const { weights = states.map(() => 1) } = options;
  checkMethod(options);
  checkOptions(options);
  if (states.length < 1 || weights.length !== states.length || !weights.every(Number.isFinite)) {
    throw new Error(
      `lora: each adapter that is combined has a finite weight; got ${states.length} adapters and weights [${weights}]; give one each`,
    );
  }
  return { ...options, weights };
}

/** One layer of the adapters that have it. */
interface Part {
  readonly path: string;
  readonly updates: readonly LoraUpdate[];
  readonly weights: readonly number[];
  readonly scales: readonly number[];
  readonly rsLora: readonly boolean[];
}

function plainLora(path: string, update: LayerUpdate): LoraUpdate {
  const isLora = update.kind === 'lora';
  if (isLora && update.mid === undefined && update.magnitude === undefined && update.upBias === undefined)
    return update;
  const beside = (each: LoraUpdate) => (each.mid ? 'a Tucker core' : each.magnitude ? 'DoRA' : 'a bias of a factor');
  const what = isLora ? beside(update) : update.kind;
  throw new Error(
    `lora: ${path}: plain LoRA layers are combined; got ${what}; merge it into the model, or convertToLora first`,
  );
}

/** @throws unless all are of the same weight and kind of layer */
function checkAlike(path: string, updates: readonly LoraUpdate[]): void {
  const described = updates.map(
    (update) => `${update.embedding ? 'embedding' : 'layer'} [${updateShape(update).join(', ')}]`,
  );
  const other = described.find((each) => each !== described[0]);
  if (other === undefined) return;
  throw new Error(
    `lora: ${path}: adapters that are combined are of one model; got ${described[0]} and ${other}; combine those that are`,
  );
}

function partsOf(states: readonly AdapterState[], weights: readonly number[]): Part[] {
  const paths = new Set(states.flatMap(({ layers }) => [...layers.keys()]));
  return [...paths].map((path) => {
    const having = states.flatMap((state, i) => {
      const update = state.layers.get(path);
      return update === undefined
        ? []
        : [{ update: plainLora(path, update), weight: weights[i], rsLora: state.rsLora }];
    });
    const updates = having.map(({ update }) => update);
    checkAlike(path, updates);
    return {
      path,
      updates,
      weights: having.map(({ weight }) => weight),
      scales: having.map(({ update, rsLora }) => scaleOf(update, rsLora)),
      rsLora: having.map(({ rsLora }) => rsLora),
    };
  });
}

/** What becomes of several tensors, by the method's own name without `_svd`. */
function reduce(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  options: Checked,
  name: string,
): Float32Array {
  const { density = 1, majoritySign = 'total', seed = 0 } = options;
  const method = options.method.replace(/_svd$/, '');
  const atRandom = method.startsWith('dare');
  const prunes = method !== 'linear' && method !== 'svd';
  const kept = prunes
    ? tensors.map((values, i) =>
        atRandom ? pruneAtRandom(values, density, seed, `${name} ${i}`) : pruneByMagnitude(values, density),
      )
    : tensors;
  return method.endsWith('ties') ? disjointMean(kept, weights, majoritySign) : weightedSum(kept, weights);
}

/** On the factors themselves; a weight's root goes to each, its sign to the first. */
function byFactors({ path, updates, weights, scales }: Part, options: Checked): LoraUpdate {
  const ranks = new Set(updates.map(({ down }) => down.shape[0]));
  if (ranks.size > 1) {
    throw new Error(
      `lora: ${path}: ${options.method} takes adapters of one rank; got ${[...ranks].join(', ')}; use cat or svd`,
    );
  }
  const strengths = weights.map((weight, i) => weight * scales[i]);
  const roots = strengths.map((strength) => Math.sqrt(Math.abs(strength)));
  const signed = roots.map((root, i) => (strengths[i] >= 0 ? root : -root));
  const combined = (pick: 'down' | 'up', factors: readonly number[]): HostTensor => ({
    shape: updates[0][pick].shape,
    data: reduce(
      updates.map((update) => update[pick].data),
      factors,
      options,
      `${path} ${pick}`,
    ) as Float32Array<ArrayBuffer>,
  });
  return { ...updates[0], down: combined('down', signed), up: combined('up', roots), alpha: updates[0].down.shape[0] };
}

/** One after the other: exactly the sum of the products. */
function byConcatenation({ updates, weights, scales }: Part): LoraUpdate {
  const total = updates.reduce((sum, { down }) => sum + down.shape[0], 0);
  const { down, up } = updates[0];
  const downData = updates.flatMap((update, i) => [...update.down.data.map((value) => value * weights[i] * scales[i])]);
  const outputs = up.shape[0];
  const upData = new Float32Array(outputs * total);
  let at = 0;
  for (const update of updates) {
    const rank = update.down.shape[0];
    for (let o = 0; o < outputs; o++) upData.set(update.up.data.subarray(o * rank, (o + 1) * rank), o * total + at);
    at += rank;
  }
  return {
    ...updates[0],
    down: { shape: [total, ...down.shape.slice(1)], data: Float32Array.from(downData) },
    up: { shape: [outputs, total, ...up.shape.slice(2)], data: upData },
    alpha: total,
  };
}

/** What is pruned is the whole difference, so that it has to be made. */
function prunedSvd(part: Part, options: Checked, shape: readonly number[], rank: number): Svd {
  const { path, updates, weights, rsLora } = part;
  const deltas = updates.map((update, i) => updateDelta({ ...update, embedding: false }, shape, rsLora[i]));
  const whole = matrixOf(shape[0], reduce(deltas, weights, options, path));
  return truncatedSvd(whole, Math.min(rank, whole.rows, whole.columns), { seed: options.seed });
}

/** The combined difference, cut down to a rank again. */
function bySvd(part: Part, options: Checked, rank: number): LoraUpdate {
  const [first] = part.updates;
  // Of an embedding the product as the factors give it, [C, V].
  const shape = updateShape({ ...first, embedding: false });
  let svd: Svd;
  if (options.method === 'svd') {
    const { up, down } = byConcatenation(part);
    svd = productSvd(matrixOf(shape[0], up.data), matrixOf(down.shape[0], down.data));
  } else svd = prunedSvd(part, options, shape, rank);
  const kept = Math.min(rank, svd.s.length);
  const left = scaleColumns(firstColumns(svd.u, kept), svd.s);
  const factors = factorTensors(left, transpose(firstColumns(svd.v, kept)), shape);
  if (options.svdClamp !== undefined) clampToQuantile(options.svdClamp, factors);
  return { ...first, ...factors, alpha: kept };
}

/** Whole tensors cannot be added up as differences; those that one adapter alone has are kept as they are. */
function combinedWholes(states: readonly AdapterState[]): Map<string, HostTensor> {
  const whole = new Map<string, HostTensor>();
  for (const [key, value] of states.flatMap((state) => [...state.whole])) {
    if (whole.has(key)) {
      throw new Error(
        `lora: adapters that are combined share no tensor trained whole; got ${key} twice; leave it out of all but one`,
      );
    }
    whole.set(key, value);
  }
  return whole;
}

/** What the first configuration says of dropouts stays. */
function combinedConfig(states: readonly AdapterState[], combined: AdapterState): LoraConfig | undefined {
  const first = states.find(({ config }) => config !== undefined)?.config;
  if (first === undefined) return undefined;
  const targets = [...combined.layers.keys()];
  return configOf(combined, { ...first, targets, exclude: undefined, modulesToSave: undefined });
}

/** One adapter of several, whose scale is 1. A layer that only some have is made of those.
 * @throws on an unknown method, ranks that differ where they may not, or layers that are no plain LoRA
 * @source peft LoraModel.add_weighted_adapter */
export function combineAdapters(states: readonly AdapterState[], options: CombineOptions): AdapterState {
  const checked = check(states, options);
  const parts = partsOf(states, checked.weights);
  const rank = checked.svdRank ?? Math.max(...parts.flatMap(({ updates }) => updates.map(({ down }) => down.shape[0])));
  const layers = new Map(
    parts.map((part): [string, LoraUpdate] => {
      if (checked.method === 'cat') return [part.path, byConcatenation(part)];
      return [part.path, isSvd(checked.method) ? bySvd(part, checked, rank) : byFactors(part, checked)];
    }),
  );
  const combined: AdapterState = { rsLora: false, layers, whole: combinedWholes(states) };
  const config = combinedConfig(states, combined);
  return config === undefined ? combined : { ...combined, config };
}
