import { isPacked } from '@rass/kernels';
import { disposeParams, type Leaf, mapLeaves, type ParamSource } from '@rass/nn';
import { add, keep, mul, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { withBeside } from './beside.ts';
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

function factorsOf(from: ParamSource, layer: Leaf, { name, rank }: FileAdapter): Factors {
  const at = (part: string): ParamSource => from.at(`${layer.path}.${part}.${name}`);
  const [down, up] = [at('lora_A'), at('lora_B')];
  if (layer.kind === 'linear') {
    const [outputs, inputs] = layer.weight.shape;
    const bare = { bias: false };
    return { kind: 'linear', down: down.linear(inputs, rank, bare), up: up.linear(rank, outputs, bare) };
  }
  if (layer.kind === 'conv2d') {
    const [kernel, , inputs, outputs] = layer.weight.shape;
    const { stride, padding } = layer;
    return {
      kind: 'conv2d',
      down: down.conv2d(inputs, rank, { kernel, stride, padding, bias: false }),
      up: up.conv2d(rank, outputs, { kernel: 1, bias: false }),
    };
  }
  throw new Error(
    `lora: products of a file are merged into linear layers and convolutions; got ${layer.path}, a ${layer.kind}; use addAdapter`,
  );
}

/** Asks the source for a trained adapter's factors, by the keys that addAdapter's tree has them under.
 * @throws when a target matches no layer, or one of another kind */
export function adapterFactors(from: ParamSource, tree: unknown, adapter: FileAdapter): AdapterFactors[] {
  const scale = scaleFor(adapter.alpha, adapter.rank);
  return matchTargets(layersOf(tree), adapter.targets).map((layer) => ({
    path: layer.path,
    factors: factorsOf(from, layer, adapter),
    scale,
  }));
}

async function checkFinite(path: string, weight: Tensor): Promise<void> {
  // Read from a result of it: what is read of a tensor itself stays in the host's memory as long as the tensor.
  const probe = tidy(() => mul(weight, 1));
  const values = await probe.data();
  probe.dispose();
  const at = values.findIndex((value: number) => !Number.isFinite(value));
  if (at < 0) return;
  throw new Error(`lora: merged weights are finite; got ${values[at]} at ${at} of ${path}.weight; look at the adapter`);
}

const factorsIn = (all: readonly AdapterFactors[]): unknown => all.map(({ factors: { down, up } }) => [down, up]);

/** The tree with products added to its weights: what addAdapter, loading and mergeAndUnload give, without a tree of adapters in between, so
 * that a page which runs a trained model loads none of what adapters can do. Weights that stay packed in memory are left as they are, and the
 * products computed beside them. Tree and factors are used up, whatever happens. @throws when a merged weight is not finite */
export async function mergeFactors<Tree>(tree: Tree, all: readonly AdapterFactors[]): Promise<Tree> {
  const merged = new Map<string, Tensor>();
  try {
    for (const leaf of layersOf(tree)) {
      const own = all.filter(({ path }) => path === leaf.path);
      if (own.length === 0 || !('weight' in leaf) || isPacked(leaf.weight)) continue;
      const weight = tidy(() =>
        own.reduce((sum, { factors, scale }) => add(sum, mul(product(factors), scale)), leaf.weight as Tensor),
      );
      merged.set(leaf.path, keep(weight));
      leaf.weight.dispose();
      await checkFinite(leaf.path, weight);
    }
  } catch (error) {
    for (const weight of merged.values()) weight.dispose();
    disposeParams([tree, factorsIn(all)]);
    throw error;
  }
  disposeParams(factorsIn(all.filter(({ path }) => merged.has(path))));
  return mapLeaves(tree, (leaf) => {
    if (merged.has(leaf.path)) return { ...leaf, weight: merged.get(leaf.path) } as Leaf;
    const own = all.filter(({ path }) => path === leaf.path);
    return own.length === 0 ? leaf : withBeside(leaf, own);
  });
}
