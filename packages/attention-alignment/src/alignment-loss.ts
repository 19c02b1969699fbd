import { anything, checkOptions, listOf, type OptionRules, whole } from '@rass/kernels/options';
import {
  add,
  div,
  expandDims,
  gather,
  mul,
  type Scalar,
  type Tensor1D,
  type Tensor3D,
  type Tensor4D,
  tensor1d,
  tensor3d,
  tidy,
} from '@tensorflow/tfjs-core';
import { type AlignmentConfig, type AlignmentOptions, alignmentConfig } from './config.ts';
import {
  checkMaps,
  chooseMaps,
  groupLevels,
  headsAsSamples,
  normalizeMaps,
  type Size,
  selectHeads,
  tagMaps,
  tagSelector,
  tokenMaps,
} from './maps.ts';
import { type LabelMap, type LevelMasks, levelMasks } from './masks.ts';
import type { TagPositions } from './prompts.ts';
import {
  areaTerm,
  balancedTerm,
  binaryTerm,
  crossEntropyTerm,
  diceTerm,
  overSamples,
  squaredTerm,
  type TermInputs,
  tokenTerm,
} from './terms.ts';

/** What is compared. */
export interface AlignmentInputs {
  /** Attention probabilities by name, as unet() hands them out. [B, N, L, T] each */
  readonly probabilities: Readonly<Record<string, Tensor4D>>;
  /** Rows and columns of the latents. */
  readonly latents: Size;
  /** For each sample its tags and their tokens. */
  readonly tags: readonly (readonly TagPositions[])[];
  /** For each sample the class of each tag, in the same order. */
  readonly classes: readonly (readonly number[])[];
  /** For each sample its labels, of any size. */
  readonly labels: readonly LabelMap[];
}

/** A type, not an interface: only those pass through tidy's types. */
export type AlignmentLoss = {
  /** The whole, weighted: what is added to the other losses. */
  readonly loss: Scalar;
  /** The mean over the sizes of each term, not weighted; 0 where the kind has none. */
  readonly area: Scalar;
  readonly pixel: Scalar;
};

/** The tokens of all tags by themselves: a selector of each, and which tag it is of. @shape [B, T, K], [B, K, I] */
function tokenSelectors(tags: AlignmentInputs['tags'], length: number): { selector: Tensor3D; member: Tensor3D } {
  const single = tags.map((each) =>
    each.flatMap(({ tag, positions }, i) => positions.map((position) => ({ tag, positions: [position], i }))),
  );
  const [most, tagCount] = [
    Math.max(1, ...single.map((each) => each.length)),
    Math.max(1, ...tags.map((each) => each.length)),
  ];
  const member = new Float32Array(tags.length * most * tagCount);
  single.forEach((each, b) => {
    each.forEach(({ i }, k) => {
      member[(b * most + k) * tagCount + i] = 1;
    });
  });
  return { selector: tagSelector(single, length, 'sum'), member: tensor3d(member, [tags.length, most, tagCount]) };
}

function pixelTerm(inputs: TermInputs, { kind, minusEntropy }: AlignmentConfig): Tensor1D {
  if (kind === 'area+ce' || kind === 'area') return crossEntropyTerm(inputs, minusEntropy);
  if (kind === 'mse_max') return squaredTerm(inputs);
  if (kind === 'balanced_l1') return balancedTerm(inputs);
  return kind === 'dice' ? diceTerm(inputs) : binaryTerm(inputs, minusEntropy);
}

interface LevelTerms {
  readonly area: Scalar;
  readonly pixel: Scalar;
}

/** The terms at one size, from maps and masks that are there. */
function levelTerms(maps: Tensor3D, masks: LevelMasks, config: AlignmentConfig): LevelTerms {
  const present_B1I = expandDims(masks.valid, 1) as Tensor3D;
  const normalized = normalizeMaps({ maps, present: present_B1I }, config.norm);
  const inputs: TermInputs = { ...masks, maps, normalized };
  return { area: overSamples(areaTerm(inputs), masks), pixel: overSamples(pixelTerm(inputs, config), masks) };
}

type Level = ReturnType<typeof groupLevels>[number];

/** The masks again for each head of each layer. */
function repeated(
  masks: LevelMasks,
  layers: readonly Tensor4D[],
  tags: AlignmentInputs['tags'],
): { masks: LevelMasks; tags: AlignmentInputs['tags'] } {
  const order = layers.flatMap((layer) => tags.flatMap((_, b) => Array<number>(layer.shape[1]).fill(b)));
  const pick = <T extends LevelMasks['masks'] | LevelMasks['visible']>(value: T): T =>
    gather(value, tensor1d(order, 'int32'));
  return {
    masks: { size: masks.size, masks: pick(masks.masks), visible: pick(masks.visible), valid: pick(masks.valid) },
    tags: order.map((b) => tags[b]),
  };
}

/** Every size's maps against its masks. */
function termsOf(group: Level, inputs: AlignmentInputs, config: AlignmentConfig): LevelTerms {
  const level = { ...group, layers: group.layers.map((layer) => selectHeads(layer, config.onlyHeads)) };
  const { layers, size } = level;
  const options = { resize: config.maskResize, ignore: config.ignore, minCells: config.minCells };
  const masks = levelMasks(inputs.labels, inputs.classes, size, options);
  if (config.kind === 'token+pixel') return composedTerms(level, masks, inputs, config);
  const { subtoken } = config;
  if (!config.perHead) {
    const [{ maps }] = tagMaps(named(layers), inputs.tags, inputs.latents, { subtoken });
    return levelTerms(maps, masks, config);
  }
  const each = repeated(masks, layers, inputs.tags);
  const [{ maps }] = tagMaps({ heads: headsAsSamples(layers) }, each.tags, inputs.latents, { subtoken });
  return levelTerms(maps, each.masks, config);
}

const named = (layers: readonly Tensor4D[]): Record<string, Tensor4D> =>
  Object.fromEntries(layers.map((layer, i) => [`${i}`, layer]));

/** TokenCompose's two: tokens and heads by themselves in the first, their sum and mean in the second. */
function composedTerms(
  { layers }: Level,
  masks: LevelMasks,
  inputs: AlignmentInputs,
  config: AlignmentConfig,
): LevelTerms {
  const { selector, member } = tokenSelectors(inputs.tags, layers[0].shape[3]);
  const perLayer = layers.map((layer) => overSamples(tokenTerm(tokenMaps(layer, selector), member, masks), masks));
  const area = div(
    perLayer.reduce((a, b) => add(a, b)),
    layers.length,
  ) as Scalar;
  const [{ maps }] = tagMaps(named(layers), inputs.tags, inputs.latents, { subtoken: config.subtoken });
  return { area, pixel: levelTerms(maps, masks, config).pixel };
}

const meanOf = (terms: readonly Scalar[]): Scalar =>
  div(
    terms.reduce((a, b) => add(a, b)),
    terms.length,
  ) as Scalar;

function checkInputs({ tags, classes, labels }: AlignmentInputs): void {
  if (classes.length !== tags.length || labels.length !== tags.length) {
    throw new Error(
      `attention-alignment: each sample has tags, classes and a label map; got ${tags.length}, ${classes.length} and ${labels.length}; give one of each`,
    );
  }
  const wrong = tags.findIndex((each, b) => each.length !== classes[b].length);
  if (wrong < 0) return;
  throw new Error(
    `attention-alignment: each tag has a class; got ${tags[wrong].length} tags and ${classes[wrong].length} classes in sample ${wrong}; give them in one order`,
  );
}

const ALIGNMENT_INPUTS_RULES: OptionRules<AlignmentInputs> = {
  probabilities: anything,
  latents: listOf(whole(1)),
  tags: anything,
  classes: anything,
  labels: anything,
};

/** How far attention maps are from the masks of what they name. Of the attentions given those count that the options choose. Samples without
 * tags or labels add exactly 0. Differentiable by the probabilities; works with checkpointing.
 * @shape probabilities [B, N, L, T] each -> scalars @throws when options, names, positions, labels or shapes do not fit
 * @source this project's formulation of RASS's semantic constraint; see the README for each kind */
export function alignmentLoss(inputs: AlignmentInputs, options: AlignmentOptions = {}): AlignmentLoss {
  checkOptions('alignmentLoss', inputs, ALIGNMENT_INPUTS_RULES);
  const config = alignmentConfig(options);
  checkInputs(inputs);
  checkMaps(inputs.probabilities, inputs.tags.length);
  const { places, blocks } = config;
  const names = chooseMaps(Object.keys(inputs.probabilities), { places, blocks });
  return tidy(() => {
    const chosen = names.map((name) => [name, inputs.probabilities[name]] as const);
    const terms = groupLevels(chosen, inputs.latents, config.levels).map((level) => termsOf(level, inputs, config));
    const [area, pixel] = [meanOf(terms.map((each) => each.area)), meanOf(terms.map((each) => each.pixel))];
    const weighted = add(mul(area, config.areaWeight), mul(pixel, config.pixelWeight));
    return { loss: mul(weighted, config.weight) as Scalar, area, pixel };
  });
}
