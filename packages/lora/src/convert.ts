import { closest, disposeParams, type Layer, type Leaf, mapLeaves, namedTensors } from '@rass/nn';
import { add, keep, mul, type Tensor, type Tensor1D, tensor1d, tidy } from '@tensorflow/tfjs-core';
import { checkWholes } from './active.ts';
import { biasDelta, updatedWeight } from './algebra/delta.ts';
import type { DoraRule } from './algebra/dora.ts';
import { type LoraConfig, loraConfig } from './config.ts';
import { withShares } from './forward.ts';
import { hostFactors, toHost, toTensor } from './host.ts';
import { adaptedLayers, adapterNames, checkFree, checkKnown, layersOf } from './names.ts';
import { type Factors, type LoraLayer, type Share, shareOf, sharesOf } from './shares.ts';
import { withoutStart } from './start.ts';
import type { AdapterState, HostTensor, LayerUpdate, LoraUpdate } from './state.ts';

async function factorsToHost(factors: Factors): Promise<{ down: HostTensor; up: HostTensor }> {
  if (factors.kind === 'embedding') {
    const { down, up } = factors;
    return { down: await toHost(down.value, 'transposed'), up: await toHost(up.value, 'same') };
  }
  const turn = factors.kind === 'conv2d' ? 'conv2d' : 'same';
  return { down: await toHost(factors.down.weight, turn), up: await toHost(factors.up.weight, turn) };
}

async function shareUpdate(share: Share): Promise<LoraUpdate | undefined> {
  if (share.factors === undefined) return undefined;
  const magnitude = share.magnitude && (await toHost(share.magnitude.value, 'same'));
  const { factors } = share;
  const bias = factors.kind === 'embedding' ? undefined : factors.up.bias;
  const upBias = bias && (await toHost(bias, 'same'));
  const update: LoraUpdate = {
    kind: 'lora',
    ...(await factorsToHost(factors)),
    alpha: share.alpha,
    ...(magnitude && { magnitude }),
    ...(upBias && { upBias }),
    ...(factors.kind === 'embedding' && { embedding: true }),
  };
  if (share.start === undefined) return update;
  return withoutStart(update, await factorsToHost(share.start), share.config);
}

async function wholeTensors(layer: Layer, whole: Layer): Promise<[string, HostTensor][]> {
  const weight = await toHost(whole.weight as Tensor, whole.kind === 'conv2d' ? 'conv2d' : 'same');
  const bias = 'bias' in whole ? whole.bias : undefined;
  const rest: [string, HostTensor][] = bias === undefined ? [] : [[`${layer.path}.bias`, await toHost(bias, 'same')]];
  return [[`${layer.path}.weight`, weight], ...rest];
}

/** An adapter taken off a tree, as host arrays in the checkpoint's layout: what saveAdapter writes and combineAdapters takes.
 * What PiSSA or OLoRA started from is subtracted, so that it acts on the original base: its rank doubles.
 * @throws on an unknown name @source peft get_peft_model_state_dict */
export async function adapterState(tree: unknown, name = 'default'): Promise<AdapterState> {
  checkKnown([name], tree);
  const layers = new Map<string, LayerUpdate>();
  const whole = new Map<string, HostTensor>();
  let config: LoraConfig | undefined;
  for (const { leaf, shares } of adaptedLayers(tree)) {
    const share = shareOf(shares.shares, name);
    if (share === undefined) continue;
    config = share.config;
    const update = await shareUpdate(share);
    if (update !== undefined) layers.set(leaf.path, update);
    const own = share.whole === undefined ? [] : await wholeTensors(leaf as Layer, share.whole);
    for (const [key, each] of own) whole.set(key, each);
    if (share.bias !== undefined) whole.set(`${leaf.path}.bias`, await toHost(share.bias.value, 'same'));
  }
  return { config, rsLora: config?.rsLora ?? false, layers, whole };
}

/** Shapes that the factors of a layer must have, in the checkpoint's layout. */
function expectedShapes(layer: LoraLayer, rank: number): { down: number[]; up: number[] } {
  if (layer.kind === 'embedding') return { down: [rank, layer.weight.shape[0]], up: [layer.weight.shape[1], rank] };
  if (layer.kind === 'linear') return { down: [rank, layer.weight.shape[1]], up: [layer.weight.shape[0], rank] };
  const [rows, columns, inputs, outputs] = layer.weight.shape;
  return { down: [rank, inputs, rows, columns], up: [outputs, rank, 1, 1] };
}

const isSame = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

function checkShapes(layer: LoraLayer, { down, up }: LoraUpdate): void {
  const wanted = expectedShapes(layer, down.shape[0]);
  for (const [which, got] of Object.entries({ down, up })) {
    const expected = wanted[which as 'down' | 'up'];
    if (isSame(got.shape, expected)) continue;
    throw new Error(
      `lora: ${layer.path}: an adapter has the rank and the sizes of its layer; got ${which} [${got.shape}], expected [${expected}]; it is of another model`,
    );
  }
}

interface Fitted {
  readonly layer: Layer;
  readonly update?: LayerUpdate;
  /** By property: `weight`, `bias`. */
  readonly whole: Readonly<Record<string, HostTensor>>;
}

/** Which layers of a model a state changes. @throws when one is not there */
function fitState(tree: unknown, state: AdapterState): Map<Leaf, Fitted> {
  const leaves = layersOf(tree);
  const byPath = new Map(leaves.map((leaf) => [leaf.path, leaf]));
  const fitted = new Map<Leaf, Fitted>();
  const find = (path: string): Leaf => {
    const leaf = byPath.get(path);
    if (leaf !== undefined && leaf.kind !== 'parameter') return leaf;
    const near = closest(path, [...byPath.keys()], 2).join(', ');
    throw new Error(
      `lora: the model has each layer of the adapter; got "${path}"; closest: ${near}; it is of another model`,
    );
  };
  for (const [path, update] of state.layers) {
    const leaf = find(path);
    fitted.set(leaf, { layer: leaf as Layer, update, whole: {} });
  }
  for (const [key, host] of state.whole) {
    const [, path, property] = /^(.*)\.(weight|bias)$/.exec(key) ?? ['', key, ''];
    const leaf = find(path);
    const known = fitted.get(leaf) ?? { layer: leaf as Layer, whole: {} };
    fitted.set(leaf, { ...known, whole: { ...known.whole, [property]: host } });
  }
  return fitted;
}

function wholeTensor(layer: Layer, property: string, host: HostTensor): Tensor {
  const own = (layer as unknown as Record<string, Tensor | undefined>)[property];
  const value = toTensor(host, property === 'weight' && layer.kind === 'conv2d');
  if (own !== undefined && isSame(own.shape, value.shape)) return value;
  value.dispose();
  throw new Error(
    `lora: ${layer.path}.${property}: a tensor trained whole has its layer's shape; got [${host.shape}]; it is of another model`,
  );
}

/** A layer or a bias of the adapter's own, in tensors of its own; nothing where it has neither. */
function ownTensors(layer: Layer, whole: Fitted['whole'], name: string): Pick<Share, 'whole' | 'bias'> {
  const path = `${layer.path}.modules_to_save.${name}`;
  const { adapter: _, ...plain } = layer;
  const bias = whole.bias && (wholeTensor(layer, 'bias', whole.bias) as Tensor1D);
  if (whole.weight === undefined) {
    return bias === undefined ? {} : { bias: { kind: 'parameter', path: `${path}.bias`, value: bias } };
  }
  const weight = wholeTensor(layer, 'weight', whole.weight);
  const kept =
    'bias' in layer && layer.bias !== undefined ? { bias: bias ?? keep((layer.bias as Tensor).clone()) } : {};
  return { whole: { ...plain, path, weight, ...kept } as Layer };
}

/** A configuration for a file that brings none: the most frequent rank and alpha. */
function impliedConfig(state: AdapterState): LoraConfig {
  const first = [...state.layers.values()].find((update) => update.kind === 'lora');
  return loraConfig({
    rank: first?.down.shape[0] ?? 1,
    alpha: first?.alpha ?? 1,
    targets:
      state.layers.size > 0
        ? [...state.layers.keys()]
        : [...state.whole.keys()].map((key) => key.replace(/\.(weight|bias)$/, '')),
    rsLora: state.rsLora,
  });
}

/** Lays an adapter from a file over a model, ready to run and to be trained on. It acts beside those that do.
 * @throws when a layer is missing, has other sizes, or holds a product that only merges (LoHa, LoKr, Tucker, whole differences)
 * @source peft set_peft_model_state_dict */
export function addAdapterState<Tree>(
  tree: Tree,
  state: AdapterState,
  { name = 'default' }: { name?: string } = {},
): Tree {
  checkFree(name, adapterNames(tree));
  const config = state.config ?? impliedConfig(state);
  const fitted = fitState(tree, state);
  const made = new Map<Leaf, Layer>();
  for (const [leaf, { layer, update, whole }] of fitted) {
    let share: Share = { config: { ...config, rsLora: state.rsLora }, alpha: config.alpha, rank: config.rank };
    share = { ...share, ...ownTensors(layer, whole, name) };
    if (update !== undefined) {
      const plain = checkedLora(layer, update);
      const magnitude = plain.magnitude && {
        kind: 'parameter' as const,
        path: `${layer.path}.lora_magnitude_vector.${name}.weight`,
        value: toTensor({ shape: [plain.magnitude.data.length], data: plain.magnitude.data }, false),
      };
      const factors = hostFactors(layer as LoraLayer, plain, name);
      share = { ...share, factors, alpha: plain.alpha, rank: plain.down.shape[0], ...(magnitude && { magnitude }) };
    }
    const old = sharesOf(leaf) ?? { shares: {}, active: {} };
    const [shares, active] = [
      { ...old.shares, [name]: share },
      { ...old.active, [name]: 1 },
    ];
    checkWholes(active, shares, layer.path);
    made.set(leaf, withShares(layer, { ...old, shares, active }));
  }
  return mapLeaves(tree, (leaf) => made.get(leaf) ?? leaf);
}

function checkedLora(layer: Layer, update: LayerUpdate): LoraUpdate {
  if (!['linear', 'conv2d', 'embedding'].includes(layer.kind)) {
    throw new Error(
      `lora: an adapter goes on linear layers, convolutions and embeddings; got ${layer.path}, a ${layer.kind}`,
    );
  }
  if (update.kind !== 'lora' || update.mid !== undefined || update.magnitudeAxis !== undefined) {
    const what = update.kind !== 'lora' ? update.kind : update.mid ? 'a Tucker core' : 'DoRA by inputs';
    throw new Error(
      `lora: ${layer.path}: plain LoRA layers run beside the weight; got ${what}; fold it in with mergeState, or convertToLora first`,
    );
  }
  const own = inLayout(layer as LoraLayer, update);
  checkShapes(layer as LoraLayer, own);
  return own;
}

/** Factors as their layer has them: a linear layer and a convolution of 1 x 1 are the same to those who write files, and a projection is
 * the one in Stable Diffusion 2 and the other in 1. */
function inLayout(layer: LoraLayer, update: LoraUpdate): LoraUpdate {
  const turned = ({ shape, data }: HostTensor): HostTensor => {
    const isFlat = shape.slice(2).every((size) => size === 1);
    if (layer.kind === 'linear' && shape.length === 4 && isFlat) return { shape: shape.slice(0, 2), data };
    if (layer.kind === 'conv2d' && shape.length === 2) return { shape: [...shape, 1, 1], data };
    return { shape, data };
  };
  return { ...update, down: turned(update.down), up: turned(update.up) };
}

/** The layer's bias with what an update adds to it. */
function updatedBias(layer: Layer, bias: Tensor | undefined, added: HostTensor | undefined, scale: number) {
  if (added === undefined) return {};
  if (layer.kind === 'embedding')
    throw new Error(`lora: ${layer.path}: a bias goes on layers that have one; got an embedding`);
  const own = tidy(() => {
    const share = mul(tensor1d(added.data), scale);
    return bias === undefined ? share : add(bias, share);
  });
  return { bias: keep(own) };
}

function checkFinite(path: string, data: Float32Array): void {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new Error(
    `lora: merged weights are finite; got ${data[at]} at ${at} of ${path}.weight; the model is as it was; look at the adapter`,
  );
}

/** How far an adapter is folded in. */
interface Folding {
  readonly rsLora: boolean;
  readonly scale: number;
  readonly dora: DoraRule;
}

async function updatedLayer(layer: Layer, { update, whole }: Fitted, { rsLora, scale, dora }: Folding): Promise<Layer> {
  const { adapter: _, ...plain } = layer;
  const own = ownTensors(layer, whole, 'merged');
  const bias = own.whole === undefined ? own.bias?.value : 'bias' in own.whole ? own.whole.bias : undefined;
  const host = { ...plain, ...(own.whole && { weight: own.whole.weight }), ...(bias && { bias }) } as Layer;
  if (update === undefined) return host;
  try {
    const isConvolution = layer.kind === 'conv2d';
    const weight = await toHost(host.weight as Tensor, isConvolution ? 'conv2d' : 'same');
    const data = updatedWeight(update, weight, rsLora, scale, { dora });
    checkFinite(layer.path, data);
    const given = 'bias' in host ? host.bias : undefined;
    const added = updatedBias(layer, given, biasDelta(update, rsLora), scale);
    own.whole?.weight.dispose();
    if (added.bias !== undefined) bias?.dispose();
    return { ...host, weight: toTensor({ shape: weight.shape, data }, isConvolution), ...added } as Layer;
  } catch (error) {
    disposeParams(own);
    throw error;
  }
}

/** Frees what a new layer does not share with the old one. */
function disposeNew(layer: Layer, old: Leaf): void {
  const shared = new Set(namedTensors(old).map(({ tensor }) => tensor));
  for (const { tensor } of namedTensors(layer)) if (!shared.has(tensor)) tensor.dispose();
}

/** How mergeState folds an adapter in. */
export interface MergeStateOptions {
  /** Multiplies what it adds; default 1. With 0 nothing changes. */
  scale?: number;
  /** The rule by which DoRA is scaled where the scale is not 1; default `peft`. */
  dora?: DoraRule;
}

/** A new tree with an adapter of any kind folded into the weights, LoHa and LoKr too, without laying it over the model first.
 * `scale` multiplies what it adds; whole tensors take the place of the model's. The old weights are not freed.
 * @throws when a layer is missing or has other sizes, or a merged weight is not finite */
export async function mergeState<Tree>(
  tree: Tree,
  state: AdapterState,
  { scale = 1, dora = 'peft' }: MergeStateOptions = {},
): Promise<Tree> {
  const made = new Map<Leaf, Layer>();
  const folding: Folding = { rsLora: state.rsLora, scale, dora };
  try {
    const fits = fitState(tree, state);
    if (scale === 0) return mapLeaves(tree, (leaf) => leaf);
    for (const [leaf, fitted] of fits) {
      made.set(leaf, await updatedLayer(leaf as Layer, fitted, folding));
    }
  } catch (error) {
    for (const [leaf, layer] of made) disposeNew(layer, leaf);
    throw error;
  }
  return mapLeaves(tree, (leaf) => made.get(leaf) ?? leaf);
}
