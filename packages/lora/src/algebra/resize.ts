import type { AdapterState, HostTensor, LayerUpdate, LoraUpdate } from '../state.ts';
import { scaleOf, updateDelta } from './delta.ts';
import { firstColumns, matrixOf, type Svd, scaleColumns, transpose } from './matrix.ts';
import { factorTensors } from './starts.ts';
import { productSvd, truncatedSvd } from './svd.ts';

/** How many ranks are kept: a number, or what keeps the singular values down to a share of the largest (`ratio`), a share of the Frobenius
 * norm (`frobenius`) or of the sum of the values (`cumulative`). @source kohya sd-scripts resize_lora: sv_ratio, sv_fro, sv_cumulative */
export type RankRule =
  | { readonly rank: number }
  | { readonly ratio: number }
  | { readonly frobenius: number }
  | { readonly cumulative: number };

export interface ResizeOptions {
  /** No layer has more ranks than this; for convolutions larger than 1 x 1 `maxConvRank` counts. */
  maxRank?: number;
  maxConvRank?: number;
}

/** What came of one layer. */
export interface ResizedLayer {
  readonly path: string;
  readonly before: number;
  readonly after: number;
  /** Share of the Frobenius norm that was kept, in [0, 1]. */
  readonly kept: number;
}

export interface Resized {
  readonly state: AdapterState;
  readonly report: readonly ResizedLayer[];
}

function checkRule(rule: RankRule): void {
  const [[name, value]] = Object.entries(rule) as [string, number][];
  const fits = {
    rank: Number.isInteger(value) && value >= 1,
    ratio: value >= 1,
    frobenius: value > 0 && value <= 1,
    cumulative: value > 0 && value <= 1,
  }[name];
  if (fits) return;
  throw new Error(
    `lora: a rank is kept by { rank: 1, 2, ... }, { ratio: 1 or more }, { frobenius: (0, 1] } or { cumulative: (0, 1] }; got ${JSON.stringify(rule)}; give one of them`,
  );
}

const sumOf = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);

/** The fewest first values whose sum reaches a share of the whole. */
function reaching(values: Float64Array, share: number): number {
  const goal = share * sumOf(values);
  let total = 0;
  for (let i = 0; i < values.length; i++) {
    total += values[i];
    // Rounding must not ask for one more at a share of 1.
    if (total >= goal * (1 - 1e-12)) return i + 1;
  }
  return values.length;
}

function rankFor(rule: RankRule, s: Float64Array, most: number): number {
  const wanted = (): number => {
    if ('rank' in rule) return rule.rank;
    if ('ratio' in rule) return s.filter((value) => value * rule.ratio >= s[0]).length;
    if ('frobenius' in rule)
      return reaching(
        s.map((value) => value ** 2),
        rule.frobenius ** 2,
      );
    return reaching(s, rule.cumulative);
  };
  return Math.max(1, Math.min(wanted(), most, s.length));
}

const isConvolution = (shape: readonly number[]): boolean => shape.length === 4 && shape[2] * shape[3] > 1;

/** Factors of the first ranks of a decomposition, the values shared between them. */
function factorsOf({ u, s, v }: Svd, rank: number, shape: readonly number[]): { down: HostTensor; up: HostTensor } {
  const roots = s.slice(0, rank).map(Math.sqrt);
  const [left, right] = [u, v].map((vectors) => scaleColumns(firstColumns(vectors, rank), roots));
  return factorTensors(left, transpose(right), shape);
}

function keptShare(s: Float64Array, rank: number): number {
  const squares = s.map((value) => value ** 2);
  const whole = sumOf(squares);
  return whole === 0 ? 1 : Math.sqrt(sumOf(squares.slice(0, rank)) / whole);
}

function resizedLayer(
  path: string,
  update: LoraUpdate,
  rule: RankRule,
  options: ResizeOptions,
  rsLora: boolean,
): [LoraUpdate, ResizedLayer] {
  const { down, up } = update;
  const before = down.shape[0];
  const scale = scaleOf(update, rsLora);
  const product = productSvd(matrixOf(up.shape[0], up.data), matrixOf(before, down.data));
  const svd = { ...product, s: product.s.map((value) => value * scale) };
  const { maxRank = Number.POSITIVE_INFINITY, maxConvRank = maxRank } = options;
  const after = rankFor(rule, svd.s, isConvolution(down.shape) ? maxConvRank : maxRank);
  const shape = [up.shape[0], ...down.shape.slice(1)];
  // The scale is one: alpha is the rank, or its root where that is what it is divided by.
  const resized: LoraUpdate = {
    ...update,
    ...factorsOf(svd, after, shape),
    alpha: rsLora ? Math.sqrt(after) : after,
  };
  return [resized, { path, before, after, kept: keptShare(svd.s, after) }];
}

/** An adapter with other ranks, each layer as close to the old as its rank allows. DoRA's lengths stay.
 * @throws on a rule that makes no sense, or a layer that is no plain LoRA @source kohya sd-scripts resize_lora */
export function resizeAdapter(state: AdapterState, rule: RankRule, options: ResizeOptions = {}): Resized {
  checkRule(rule);
  const layers = new Map<string, LayerUpdate>();
  const report: ResizedLayer[] = [];
  for (const [path, update] of state.layers) {
    if (update.kind !== 'lora' || update.mid !== undefined) {
      const what = update.kind === 'lora' ? 'a Tucker core' : update.kind;
      throw new Error(`lora: ${path}: plain LoRA layers are resized; got ${what}; convertToLora first`);
    }
    const [resized, line] = resizedLayer(path, update, rule, options, state.rsLora);
    layers.set(path, resized);
    report.push(line);
  }
  return { state: { ...state, config: withRank(state, layers), layers }, report };
}

function withRank({ config }: AdapterState, layers: ReadonlyMap<string, LayerUpdate>): AdapterState['config'] {
  if (config === undefined) return undefined;
  const { rankPattern: _, alphaPattern: __, init: ___, ...rest } = config;
  const ranks = [...layers.values()].map((update) => (update.kind === 'lora' ? update.down.shape[0] : 1));
  const rank = Math.max(1, ...ranks);
  return { ...rest, rank, alpha: rest.rsLora ? Math.sqrt(rank) : rank };
}

/** A difference of weights as a plain LoRA of the rank that the rule asks for.
 * @shape delta [O, I] or [O, I, Kh, Kw] */
export function lowRankUpdate(
  delta: HostTensor,
  rule: RankRule,
  options: ResizeOptions & { seed?: number } = {},
): { update: LoraUpdate; kept: number } {
  checkRule(rule);
  const whole = matrixOf(delta.shape[0], delta.data);
  const side = Math.min(whole.rows, whole.columns);
  const { maxRank = side, maxConvRank = maxRank } = options;
  const most = Math.min(side, isConvolution(delta.shape) ? maxConvRank : maxRank);
  const svd = truncatedSvd(whole, 'rank' in rule ? Math.min(rule.rank, most) : most, { seed: options.seed });
  const rank = rankFor(rule, svd.s, most);
  const norm = Math.sqrt(delta.data.reduce((sum, value) => sum + value * value, 0));
  const kept = norm === 0 ? 1 : Math.min(1, Math.sqrt(sumOf(svd.s.slice(0, rank).map((value) => value ** 2))) / norm);
  return { update: { kind: 'lora', ...factorsOf(svd, rank, delta.shape), alpha: rank }, kept };
}

/** The weight that an update changes. */
function shapeOf(update: LayerUpdate): number[] {
  if (update.kind === 'diff') return [...update.weight.shape];
  if (update.kind === 'lora')
    return [
      update.up.shape[0],
      ...(update.mid === undefined
        ? update.down
        : { shape: [0, update.down.shape[1], ...update.mid.shape.slice(2)] }
      ).shape.slice(1),
    ];
  if (update.kind === 'loha') {
    const { a, b, t } = update.w1;
    return t === undefined ? [a.shape[0], b.shape[1]] : [a.shape[1], b.shape[1], ...t.shape.slice(2)];
  }
  const sides = (factor: typeof update.w1 | typeof update.w2): number[] => {
    if ('data' in factor) return [...factor.shape];
    return 't' in factor && factor.t !== undefined
      ? [factor.a.shape[1], factor.b.shape[1], ...factor.t.shape.slice(2)]
      : [factor.a.shape[0], ...factor.b.shape.slice(1)];
  };
  const [first, second] = [sides(update.w1), sides(update.w2)];
  return [first[0] * second[0], first[1] * second[1], ...second.slice(2)];
}

/** An adapter in which LoHa, LoKr, Tucker and whole differences have become plain LoRA, which can be trained on and combined.
 * LoHa flattens a convolution's kernel into its inputs: `shapes` gives the weights' shapes by path there.
 * @throws on a rule that makes no sense, or a difference of one row that has no rank */
export function convertToLora(
  state: AdapterState,
  rule: RankRule,
  options: ResizeOptions & { shapes?: ReadonlyMap<string, readonly number[]> } = {},
): Resized {
  const layers = new Map<string, LayerUpdate>();
  const report: ResizedLayer[] = [];
  for (const [path, update] of state.layers) {
    if (update.kind === 'lora' && update.mid === undefined) {
      layers.set(path, update);
      continue;
    }
    const shape = options.shapes?.get(path) ?? shapeOf(update);
    const delta = { shape, data: updateDelta(update, shape, state.rsLora) };
    const { update: plain, kept } = lowRankUpdate(delta, rule, options);
    const magnitude = 'magnitude' in update && update.magnitude !== undefined ? { magnitude: update.magnitude } : {};
    const scaled = { ...plain, ...magnitude, alpha: state.rsLora ? Math.sqrt(plain.alpha) : plain.alpha };
    layers.set(path, scaled);
    report.push({ path, before: Math.min(shape[0], delta.data.length / shape[0]), after: plain.down.shape[0], kept });
  }
  return { state: { ...state, layers }, report };
}
