import type { AdapterState, LayerUpdate, LoraUpdate } from '../state.ts';
import { biasDelta, scaleOf, updateDelta, updateShape } from './delta.ts';
import { configOf } from './layer-config.ts';
import { balancedFactors, type LowRankOptions, lowRankUpdate, type RankLimits, rankLimit } from './low-rank.ts';
import { matrixOf } from './matrix.ts';
import { checkRule, keptShare, type RankRule, wantedRank } from './rank-rule.ts';
import { productSvd } from './svd.ts';

export type { RankRule } from './rank-rule.ts';
export type ResizeOptions = RankLimits;

/** What came of one layer. */
export interface ResizedLayer {
  readonly path: string;
  /** The rank before; of a difference without one the smaller side of the weight. */
  readonly before: number;
  readonly after: number;
  /** Share of the Frobenius norm that was kept, in [0, 1]. */
  readonly kept: number;
}

export interface Resized {
  readonly state: AdapterState;
  readonly report: readonly ResizedLayer[];
}

/** The alpha with which a rank's scale is one. */
const neutralAlpha = (rank: number, rsLora: boolean): number => (rsLora ? Math.sqrt(rank) : rank);

function resizedLayer(
  path: string,
  update: LoraUpdate,
  rule: RankRule,
  limits: RankLimits,
  rsLora: boolean,
): [LoraUpdate, ResizedLayer] {
  const { down, up } = update;
  const before = down.shape[0];
  const scale = scaleOf(update, rsLora);
  // A scale may be negative, singular values are not: it goes to the first factor.
  const scaled = matrixOf(up.shape[0], up.data).data.map((value) => value * scale);
  const svd = productSvd(matrixOf(up.shape[0], scaled), matrixOf(before, down.data));
  const shape = [up.shape[0], ...down.shape.slice(1)];
  const after = Math.min(wantedRank(rule, svd.s), rankLimit(shape, limits), svd.s.length);
  const bias = update.upBias && {
    upBias: { ...update.upBias, data: update.upBias.data.map((value) => value * scale) },
  };
  const factors = balancedFactors(svd, after, shape);
  const resized: LoraUpdate = { ...update, ...factors, ...bias, alpha: neutralAlpha(after, rsLora) };
  return [resized, { path, before, after, kept: keptShare(svd.s, after) }];
}

/** An adapter with other ranks, each layer as close to the old as its rank allows; never higher ones. DoRA's lengths stay.
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
  return { state: withLayers(state, layers), report };
}

function withLayers(state: AdapterState, layers: ReadonlyMap<string, LayerUpdate>): AdapterState {
  const made = { ...state, layers };
  return state.config === undefined ? made : { ...made, config: configOf(made, state.config) };
}

/** DoRA's part of an update. */
function lengthsOf(update: LayerUpdate): Pick<LoraUpdate, 'magnitude' | 'magnitudeAxis'> {
  if (update.kind === 'diff' || update.magnitude === undefined) return {};
  const { magnitude, magnitudeAxis } = update;
  return magnitudeAxis === undefined ? { magnitude } : { magnitude, magnitudeAxis };
}

export interface ConvertOptions extends LowRankOptions {
  /** The weights' shapes by path. LoHa flattens a convolution's kernel into its inputs, so that it is not known otherwise. */
  shapes?: ReadonlyMap<string, readonly number[]>;
}

/** An adapter in which LoHa, LoKr, Tucker and whole differences have become plain LoRA, which can be trained on and combined. Those of
 * a single axis (norms) have no rank and stay, as plain LoRA does; the report has the others. DoRA's lengths stay.
 * @throws on a rule that makes no sense, or a shape that does not fit @source peft convert_to_lora */
export function convertToLora(state: AdapterState, rule: RankRule, options: ConvertOptions = {}): Resized {
  checkRule(rule);
  const layers = new Map<string, LayerUpdate>();
  const report: ResizedLayer[] = [];
  for (const [path, update] of state.layers) {
    const shape = options.shapes?.get(path) ?? updateShape(update);
    if ((update.kind === 'lora' && update.mid === undefined) || shape.length < 2) {
      layers.set(path, update);
      continue;
    }
    const delta = { shape, data: updateDelta(update, shape, state.rsLora) };
    const { update: plain, kept } = lowRankUpdate(delta, rule, options);
    const after = plain.down.shape[0];
    const upBias = biasDelta(update, state.rsLora);
    const beside = { ...lengthsOf(update), ...(upBias && { upBias }) };
    layers.set(path, { ...plain, ...beside, alpha: neutralAlpha(after, state.rsLora) });
    report.push({ path, before: Math.min(shape[0], delta.data.length / shape[0]), after, kept });
  }
  return { state: withLayers(state, layers), report };
}
