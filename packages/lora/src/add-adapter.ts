import { type Layer, type Leaf, mapLeaves, type Parameter, type ParamSource, randomParams } from '@rass/nn';
import { keep, type Tensor, type Tensor1D, type Tensor2D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { checkWholes } from './active.ts';
import { type LoraConfig, type LoraOptions, loraConfig, rankAndAlpha } from './config.ts';
import { disposeShare } from './dispose.ts';
import { rowLengths, withShares } from './forward.ts';
import { adapterNames, checkFree, layersOf } from './names.ts';
import { type Factors, type LayerShares, type LoraLayer, type Share, sharesOf } from './shares.ts';
import { startFromWeight, startsFromWeight } from './start.ts';
import { checkPatterns, matchModules, matchTargets } from './targets.ts';

export interface AddOptions {
  /** Stands in the paths of the adapter's tensors; default `default`. */
  name?: string;
  /** For the random starts; default 0. */
  seed?: number;
  /** Whether it acts at once, beside those that do; default true. */
  activate?: boolean;
  /** What gives the starting values in place of the seed: shapeParams() counts without allocating. */
  from?: ParamSource;
}

const isLoraLayer = (leaf: Leaf): leaf is LoraLayer => ['linear', 'conv2d', 'embedding'].includes(leaf.kind);

const ZERO = { kind: 'constant', value: 0 } as const;

/** Sizes of the factors that suit a layer. For a linear layer and a convolution `down` starts at random and `up` at zero; for
 * an embedding it is the other way round. @source peft LoraLayer.reset_lora_parameters */
function randomFactors(layer: LoraLayer, rank: number, config: LoraConfig, name: string, from: ParamSource): Factors {
  const at = (which: string): ParamSource => from.at(`${layer.path}.${which}.${name}`);
  const leaf = (which: string, shape: readonly number[], start: Parameters<ParamSource['parameter']>[1]) => {
    const path = `${layer.path}.${which}.${name}`;
    return { path, weight: from.at(`${path}.weight`).parameter(shape, start).value };
  };
  const bias = config.loraBias ? upBias(layer, name, from) : {};
  const fanIn = layer.weight.size / layer.weight.shape[layer.kind === 'linear' ? 0 : layer.weight.rank - 1];
  const gaussian = config.init === 'gaussian';
  const start = gaussian
    ? ({ kind: 'normal', deviation: 1 / rank } as const)
    : ({ kind: 'uniform', bound: 1 / Math.sqrt(fanIn) } as const);
  if (layer.kind === 'embedding') {
    const [count, width] = layer.weight.shape;
    const down = at('lora_embedding_A').parameter<Tensor2D>([count, rank], ZERO);
    const up = at('lora_embedding_B').parameter<Tensor2D>([width, rank], { kind: 'normal', deviation: 1 });
    return { kind: 'embedding', down, up };
  }
  if (layer.kind === 'linear') {
    const [outputs, inputs] = layer.weight.shape;
    const down = { kind: 'linear' as const, ...leaf('lora_A', [rank, inputs], start) };
    return {
      kind: 'linear',
      down: asLinear(down),
      up: { ...asLinear({ kind: 'linear', ...leaf('lora_B', [outputs, rank], ZERO) }), ...bias },
    };
  }
  const [rows, columns, inputs, outputs] = layer.weight.shape;
  const geometry = { kind: 'conv2d' as const, stride: layer.stride, padding: layer.padding };
  const down = leaf('lora_A', [rows, columns, inputs, rank], start);
  const up = leaf('lora_B', [1, 1, rank, outputs], ZERO);
  return {
    kind: 'conv2d',
    down: { ...geometry, path: down.path, weight: down.weight as Tensor4D },
    up: { kind: 'conv2d', path: up.path, weight: up.weight as Tensor4D, ...bias, stride: 1, padding: 0 },
  };
}

/** Zeros. @throws for a layer that has no bias for it to be merged into */
function upBias(layer: LoraLayer, name: string, from: ParamSource): { bias: Tensor1D } {
  const outputs = layer.kind === 'linear' ? layer.weight.shape[0] : layer.weight.shape[layer.weight.rank - 1];
  if (layer.kind !== 'embedding') {
    return { bias: from.at(`${layer.path}.lora_B.${name}.bias`).parameter<Tensor1D>([outputs], ZERO).value };
  }
  throw new Error(
    `lora: loraBias goes on linear layers and convolutions; got ${layer.path}, an embedding; leave it out`,
  );
}

const asLinear = (leaf: { kind: 'linear'; path: string; weight: Tensor }) => ({
  ...leaf,
  weight: leaf.weight as Tensor2D,
});

/** A tree of shapes alone has nothing to copy. */
const copied = <T extends Tensor>(tensor: T): T => ('dataId' in tensor ? (keep(tensor.clone()) as T) : tensor);

/** The adapter's own copy of a layer. */
function wholeCopy(layer: Layer, name: string): Layer {
  const { adapter: _, ...plain } = layer;
  const path = `${layer.path}.modules_to_save.${name}`;
  const bias = 'bias' in layer && layer.bias !== undefined ? { bias: copied(layer.bias as Tensor1D) } : {};
  return { ...plain, path, weight: copied(layer.weight as Tensor), ...bias } as Layer;
}

/** The adapter's own copy of a layer's bias; nothing where it has none. */
function biasCopy(layer: Layer, name: string): Pick<Share, 'bias'> {
  const value = 'bias' in layer ? layer.bias : undefined;
  if (value === undefined) return {};
  const path = `${layer.path}.modules_to_save.${name}.bias`;
  return { bias: { kind: 'parameter', path, value: copied(value as Tensor1D) } };
}

function magnitudeOf(layer: LoraLayer, name: string, from: ParamSource | undefined): Parameter {
  const path = `${layer.path}.lora_magnitude_vector.${name}.weight`;
  const outputs = layer.kind === 'linear' ? layer.weight.shape[0] : layer.weight.shape[layer.weight.rank - 1];
  // One factor starts at zero, or the start was taken out of the weight: the lengths are the whole weight's.
  const value =
    from === undefined
      ? keep(tidy(() => rowLengths(layer.kind, layer.weight)))
      : from.at(path).parameter([outputs], { kind: 'constant', value: 1 }).value;
  return { kind: 'parameter', path, value };
}

interface Addition {
  readonly config: LoraConfig;
  readonly name: string;
  readonly seed: number;
  readonly activate: boolean;
  readonly from?: ParamSource;
}

/** What of a layer the adapter has. */
interface LayerPlan {
  readonly lowRank: boolean;
  readonly whole: boolean;
  readonly bias: boolean;
}

/** The layer with the new share; its base weight is another where the start was taken out of it. */
async function addToLayer(leaf: Layer, parts: LayerPlan, addition: Addition): Promise<Layer> {
  const { lowRank, whole, bias } = parts;
  const { config, name, seed, activate, from } = addition;
  const { rank, alpha } = rankAndAlpha(config, leaf.path);
  const source = from ?? randomParams(seed);
  let layer = leaf;
  let share: Share = { config, rank, alpha };
  if (whole) share = { ...share, whole: wholeCopy(leaf, name) };
  else if (bias) share = { ...share, ...biasCopy(leaf, name) };
  if (lowRank) {
    const target = leaf as LoraLayer;
    if (config.dora) share = { ...share, magnitude: magnitudeOf(target, name, from) };
    if (from === undefined && startsFromWeight(config)) {
      const { factors, start, weight } = await startFromWeight(target, share, name, seed);
      if (share.whole === undefined || start === undefined) {
        share = { ...share, factors, start };
        layer = { ...leaf, weight } as Layer;
      } else {
        // The start is taken out of the adapter's own copy, which needs no giving back.
        share.whole.weight.dispose();
        share = { ...share, factors, whole: { ...share.whole, weight } as Layer };
        disposeShare({ config, rank, alpha, factors: start });
      }
    } else share = { ...share, factors: randomFactors(target, rank, config, name, source) };
  }
  const old: LayerShares = sharesOf(leaf) ?? { shares: {}, active: {} };
  const active = activate ? { ...old.active, [name]: 1 } : old.active;
  const shares = { ...old.shares, [name]: share };
  checkWholes(active, shares, leaf.path);
  return withShares(layer, { ...old, shares, active });
}

function chosenLayers(tree: unknown, config: LoraConfig): { targets: Set<string>; whole: Set<string> } {
  const layers = layersOf(tree);
  const targets = matchTargets(layers, config);
  checkPatterns(targets, config);
  const other = targets.find((leaf) => !isLoraLayer(leaf));
  if (other !== undefined) {
    throw new Error(
      `lora: an adapter goes on linear layers, convolutions and embeddings; got ${other.path}, a ${other.kind}; name it in modulesToSave to train it whole`,
    );
  }
  const saved = config.modulesToSave ?? [];
  const whole = saved.length === 0 ? [] : matchModules(layers, saved);
  const parameter = whole.find(({ kind }) => kind === 'parameter');
  if (parameter !== undefined) {
    throw new Error(
      `lora: modulesToSave takes layers; got ${parameter.path}, a tensor that stands alone; train it with trainable() of @rass/nn`,
    );
  }
  return { targets: new Set(targets.map(({ path }) => path)), whole: new Set(whole.map(({ path }) => path)) };
}

/** Lays a new adapter over a model: a new tree that shares every tensor with the old one but those of the adapter (and the
 * weights that PiSSA and OLoRA start from). Until it is trained the model gives the same as before.
 * @throws when a target matches no layer or one that takes no adapter, or when the name is taken @source peft get_peft_model */
export async function addAdapter<Tree>(tree: Tree, options: LoraOptions, more: AddOptions = {}): Promise<Tree> {
  const config = loraConfig(options);
  const { name = 'default', seed = 0, activate = true, from } = more;
  checkFree(name, adapterNames(tree));
  const { targets, whole } = chosenLayers(tree, config);
  const made = new Map<Leaf, Layer>();
  for (const leaf of layersOf(tree)) {
    const lowRank = targets.has(leaf.path);
    const hasBias = 'bias' in leaf && leaf.bias !== undefined;
    const bias = hasBias && (config.bias === 'all' || (config.bias === 'lora_only' && lowRank));
    const parts = { lowRank, whole: whole.has(leaf.path), bias };
    if (!Object.values(parts).includes(true)) continue;
    made.set(leaf, await addToLayer(leaf as Layer, parts, { config, name, seed, activate, from }));
  }
  return mapLeaves(tree, (leaf) => made.get(leaf) ?? leaf);
}
