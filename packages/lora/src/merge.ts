import { type Layer, mapLeaves, plainLayer } from '@rass/nn';
import { keep, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { disposeShare } from './dispose.ts';
import { withShares } from './forward.ts';
import { adaptedLayers } from './names.ts';
import { type LayerShares, sharesOf } from './shares.ts';

export interface MergeOptions {
  /** Merge values that are infinite or not numbers all the same; default false. */
  allowNonFinite?: boolean;
  /** Free each base weight as soon as its layer is merged, and in mergeAndUnload the adapters too: one model in memory, not two. The
   * tree that was given is of no use then, and unmergeAdapters has nothing to go back to. */
  consume?: boolean;
}

/** The layer with its adapters' share in its weight, in tensors of its own. */
function mergedLayer(leaf: Layer): Layer {
  const made: { plain?: Layer } = {};
  const tensors = tidy(() => {
    const plain = plainLayer(leaf);
    made.plain = plain;
    const bias = 'bias' in plain ? plain.bias : undefined;
    return { weight: (plain.weight as Tensor).clone(), ...(bias && { bias: (bias as Tensor).clone() }) };
  });
  for (const tensor of Object.values(tensors)) keep(tensor);
  return { ...made.plain, ...tensors } as Layer;
}

function disposeLayer(layer: Layer): void {
  layer.weight.dispose();
  if ('bias' in layer) layer.bias?.dispose();
}

async function checkFinite(merged: Layer): Promise<void> {
  const values = await (merged.weight as Tensor).data();
  const at = values.findIndex((value: number) => !Number.isFinite(value));
  if (at < 0) return;
  throw new Error(
    `lora: merged weights are finite; got ${values[at]} at ${at} of ${merged.path}.weight; the model is as it was; look at the adapter`,
  );
}

type Adapted = ReturnType<typeof adaptedLayers>;

/** Where the old weights are freed on the way, nothing may fail half way. */
async function checkAll(layers: Adapted): Promise<void> {
  for (const { leaf } of layers) {
    const merged = mergedLayer(leaf as Layer);
    await checkFinite(merged).finally(() => disposeLayer(merged));
  }
}

function checkUnmerged(layers: Adapted): void {
  if (layers.length === 0) {
    throw new Error('lora: there is something to merge; got a model without adapters; add or load one first');
  }
  const merged = layers.find(({ shares }) => shares.base !== undefined);
  if (merged === undefined) return;
  throw new Error(`lora: adapters are merged once; got ${merged.leaf.path} merged; call unmergeAdapters first`);
}

/** Each adapted layer, merged. */
async function mergeEach(layers: Adapted, options: MergeOptions): Promise<Map<object, Layer>> {
  const { allowNonFinite = false, consume = false } = options;
  checkUnmerged(layers);
  if (consume && !allowNonFinite) await checkAll(layers);
  const done = new Map<object, Layer>();
  try {
    for (const { leaf } of layers) {
      const merged = mergedLayer(leaf as Layer);
      done.set(leaf, merged);
      if (!allowNonFinite && !consume) await checkFinite(merged);
      if (consume) disposeLayer(leaf as Layer);
    }
  } catch (error) {
    for (const layer of done.values()) disposeLayer(layer);
    throw error;
  }
  return done;
}

/** A new tree with the active adapters folded into the weights, which gives the same and runs as fast as the base. It remembers
 * the base, which unmergeAdapters gives back exactly. @throws when a merged weight is not finite, or nothing is to be merged
 * @source peft merge_adapter(safe_merge=True) */
export async function mergeAdapters<Tree>(tree: Tree, options: MergeOptions = {}): Promise<Tree> {
  const done = await mergeEach(adaptedLayers(tree), options);
  return mapLeaves(tree, (leaf) => {
    const merged = done.get(leaf);
    if (merged === undefined) return leaf;
    const { adapter: _, ...plain } = leaf as Layer;
    const base = { ...plain, path: `${leaf.path}.base_layer` } as Layer;
    return withShares(merged, { ...(sharesOf(leaf) as LayerShares), base });
  });
}

/** The tree before mergeAdapters, bit for bit; the merged weights are freed. @throws when it is not merged, or its base was freed */
export function unmergeAdapters<Tree>(tree: Tree): Tree {
  const layers = adaptedLayers(tree);
  const plain = layers.find(({ shares }) => shares.base === undefined);
  if (layers.length === 0 || plain !== undefined) {
    throw new Error(
      'lora: unmergeAdapters takes what mergeAdapters gave; got a model that is not merged; use it as it is',
    );
  }
  if (layers.some(({ shares }) => shares.base?.weight.isDisposed)) {
    throw new Error('lora: the base is there to go back to; it was freed by { consume: true }; load the model again');
  }
  return mapLeaves(tree, (leaf) => {
    const shares = sharesOf(leaf);
    if (shares?.base === undefined) return leaf;
    const { base, ...others } = shares;
    disposeLayer(leaf as Layer);
    return withShares({ ...base, path: leaf.path } as Layer, others);
  });
}

/** A new tree with the active adapters folded into the weights, and no adapters: the plain model that RASS's second stage
 * starts from. @throws like mergeAdapters @source peft merge_and_unload */
export async function mergeAndUnload<Tree>(tree: Tree, options: MergeOptions = {}): Promise<Tree> {
  const layers = adaptedLayers(tree);
  const done = await mergeEach(layers, options);
  if (options.consume) for (const { shares } of layers) Object.values(shares.shares).forEach(disposeShare);
  return mapLeaves(tree, (leaf) => done.get(leaf) ?? leaf);
}

/** A new tree without adapters; the weights stay as they are, merged ones merged. The adapters are not freed.
 * @source peft unload */
export function unloadAdapters<Tree>(tree: Tree): Tree {
  return mapLeaves(tree, (leaf) =>
    sharesOf(leaf) === undefined ? leaf : withShares(leaf as Layer, { shares: {}, active: {} }),
  );
}
