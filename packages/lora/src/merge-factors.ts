import { isPacked } from '@rass/kernels';
import {
  type Conv2d,
  closest,
  disposeParams,
  type Layer,
  type Leaf,
  type Linear,
  mapLeaves,
  type ParamSource,
} from '@rass/nn';
import { add, keep, mul, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { checkBeside, withBeside } from './beside.ts';
import { layersOf } from './names.ts';
import { product, scaleFor } from './product.ts';
import type { Factors } from './shares.ts';
import { matchTargets } from './targets.ts';

/** A trained adapter of plain low-rank products, as a file keeps it. */
export interface FileAdapter {
  /** Stands in the paths of the adapter's tensors. */
  readonly name: string;
  /** Paths as in LoraConfig. */
  readonly targets: readonly string[] | string;
  readonly rank: number;
  readonly alpha: number;
}

/** What an adapter adds to one layer. */
export interface AdapterFactors {
  /** The layer's. */
  readonly path: string;
  readonly factors: Factors;
  readonly scale: number;
}

type FactoredLayer = Linear | Conv2d;

/** Before the source is asked for anything, so that nothing is loaded of an adapter that is refused. */
function checkKinds(layers: readonly Leaf[]): FactoredLayer[] {
  const other = layers.find(({ kind }) => kind !== 'linear' && kind !== 'conv2d');
  if (other === undefined) return layers as FactoredLayer[];
  throw new Error(
    `lora: products of a file are merged into linear layers and convolutions; got ${other.path}, a ${other.kind}; use addAdapter`,
  );
}

function factorsOf(from: ParamSource, layer: FactoredLayer, { name, rank }: FileAdapter): Factors {
  const at = (part: string): ParamSource => from.at(`${layer.path}.${part}.${name}`);
  const [down, up] = [at('lora_A'), at('lora_B')];
  if (layer.kind === 'linear') {
    const [outputs, inputs] = layer.weight.shape;
    const bare = { bias: false };
    return { kind: 'linear', down: down.linear(inputs, rank, bare), up: up.linear(rank, outputs, bare) };
  }
  const [kernel, , inputs, outputs] = layer.weight.shape;
  const { stride, padding } = layer;
  return {
    kind: 'conv2d',
    down: down.conv2d(inputs, rank, { kernel, stride, padding, bias: false }),
    up: up.conv2d(rank, outputs, { kernel: 1, bias: false }),
  };
}

/** Asks the source for a trained adapter's factors, by the keys that addAdapter's tree has them under.
 * @throws when a target matches no layer, or one of another kind */
export function adapterFactors(from: ParamSource, tree: unknown, adapter: FileAdapter): AdapterFactors[] {
  const scale = scaleFor(adapter.alpha, adapter.rank);
  return checkKinds(matchTargets(layersOf(tree), { targets: adapter.targets })).map((layer) => ({
    path: layer.path,
    factors: factorsOf(from, layer, adapter),
    scale,
  }));
}

async function checkFinite(what: string, weight: Tensor): Promise<void> {
  // Read from a result of it: what is read of a tensor itself stays in the host's memory as long as the tensor.
  const probe = tidy(() => mul(weight, 1));
  const values = await probe.data().finally(() => probe.dispose());
  const at = values.findIndex((value: number) => !Number.isFinite(value));
  if (at < 0) return;
  throw new Error(`lora: merged weights are finite; got ${values[at]} at ${at} of ${what}; look at the adapter`);
}

const isBeside = (leaf: Leaf, own: readonly AdapterFactors[]): boolean =>
  own.length > 0 && 'weight' in leaf && isPacked(leaf.weight);

/** Factors that are lost are told of by so many names. */
const MAX_NAMED = 3;

function checkPaths(all: readonly AdapterFactors[], layers: readonly Leaf[]): void {
  const paths = new Set(layers.flatMap((leaf) => ('weight' in leaf ? [leaf.path] : [])));
  const lost = [...new Set(all.map(({ path }) => path))].filter((path) => !paths.has(path));
  if (lost.length === 0) return;
  const named = lost.slice(0, MAX_NAMED).map((path) => {
    const [near = 'the model has no layers'] = closest(path, [...paths]);
    return `"${path}" (closest: ${near})`;
  });
  const more = lost.length > MAX_NAMED ? ` and ${lost.length - MAX_NAMED} more` : '';
  throw new Error(
    `lora: products are merged into layers of the model; got products of ${named.join(', ')}${more}; ask adapterFactors for those of this model`,
  );
}

/** The tree with products added to its weights: what addAdapter, loading and mergeAndUnload give, without a tree of adapters in between, so
 * that a page which runs a trained model loads none of what adapters can do. Weights that stay packed in memory are left as they are, and the
 * products computed beside them. Tree and factors are used up, whatever happens. @throws when factors are of no layer
 * of the tree, or a merged weight is not finite */
export async function mergeFactors<Tree>(tree: Tree, all: readonly AdapterFactors[]): Promise<Tree> {
  const merged = new Map<string, Tensor>();
  const beside = new Map<string, Leaf>();
  // New tensors, which are the result's or nobody's.
  const made: Tensor[] = [];
  const ofLeaf = (leaf: Leaf): AdapterFactors[] => all.filter(({ path }) => path === leaf.path);
  try {
    const layers = layersOf(tree);
    checkPaths(all, layers);
    for (const leaf of layers) if (isBeside(leaf, ofLeaf(leaf))) checkBeside(leaf as Layer);
    for (const leaf of layers) {
      const own = ofLeaf(leaf);
      if (own.length === 0 || !('weight' in leaf)) continue;
      if (isBeside(leaf, own)) {
        const scaled = withBeside(leaf, own);
        beside.set(leaf.path, scaled.leaf);
        made.push(...scaled.made);
        for (const weight of scaled.made) await checkFinite(`the adapter of ${leaf.path}`, weight);
        continue;
      }
      const weight = tidy(() =>
        own.reduce((sum, { factors, scale }) => add(sum, mul(product(factors), scale)), leaf.weight as Tensor),
      );
      merged.set(leaf.path, keep(weight));
      made.push(weight);
      leaf.weight.dispose();
      await checkFinite(`${leaf.path}.weight`, weight);
    }
  } catch (error) {
    for (const weight of made) weight.dispose();
    disposeParams([tree, all.map(({ factors: { down, up } }) => [down, up])]);
    throw error;
  }
  for (const { path, factors } of all) disposeParams(merged.has(path) ? [factors.down, factors.up] : factors.up);
  return mapLeaves(tree, (leaf) => {
    const weight = merged.get(leaf.path);
    return weight === undefined ? (beside.get(leaf.path) ?? leaf) : ({ ...leaf, weight } as Leaf);
  });
}
