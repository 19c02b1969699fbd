import { type Tensor, type Variable, variable } from '@tensorflow/tfjs-core';
import type { Leaf } from './leaf.ts';

/** One tensor of a parameter tree. */
export interface NamedTensor {
  /** The checkpoint's key: the leaf's path and `weight` or `bias`. */
  readonly key: string;
  readonly leaf: Leaf;
  readonly tensor: Tensor;
  /** Whether the checkpoint holds it transposed, [O, I, Kh, Kw] for our [Kh, Kw, I, O]. */
  readonly layout: 'same' | 'conv2d';
}

function isLeaf(node: object): node is Leaf {
  return 'kind' in node && 'path' in node && ('weight' in node || 'value' in node);
}

function leafTensors(leaf: Leaf): [property: string, tensor: Tensor][] {
  return Object.entries(leaf).filter(
    (entry): entry is [string, Tensor] => typeof entry[1] === 'object' && entry[1] !== null && 'dtype' in entry[1],
  );
}

const keyOf = (leaf: Leaf, property: string): string => {
  if (leaf.kind === 'parameter') return leaf.path;
  return leaf.path === '' ? property : `${leaf.path}.${property}`;
};

/** The parameters that an adapter adds to a leaf. */
const adapterParams = (leaf: Leaf): unknown => ('adapter' in leaf ? leaf.adapter?.params : undefined);

/** Every leaf of a tree, in the tree's own order; an adapter's behind the layer that it is on. */
export function leaves(tree: unknown): Leaf[] {
  if (typeof tree !== 'object' || tree === null) return [];
  if (isLeaf(tree)) return [tree, ...leaves(adapterParams(tree))];
  return (Array.isArray(tree) ? tree : Object.values(tree)).flatMap(leaves);
}

function namedTensorsOf(leaf: Leaf): NamedTensor[] {
  return leafTensors(leaf).map(([property, tensor]) => ({
    key: keyOf(leaf, property),
    leaf,
    tensor,
    layout: leaf.kind === 'conv2d' && property === 'weight' ? ('conv2d' as const) : ('same' as const),
  }));
}

/** Every tensor of a tree with its checkpoint key, in the tree's own order. */
export function namedTensors(tree: unknown): NamedTensor[] {
  return leaves(tree).flatMap(namedTensorsOf);
}

/** A new tree in which `replace` has made each leaf another, or the same; what stays is shared with the old tree. Adapters
 * belong to their layer, and are not visited by themselves. */
export function mapLeaves<Tree>(tree: Tree, replace: (leaf: Leaf) => Leaf): Tree {
  if (typeof tree !== 'object' || tree === null) return tree;
  if (Array.isArray(tree)) return tree.map((child) => mapLeaves(child, replace)) as Tree;
  if (isLeaf(tree)) return replace(tree) as Tree;
  return Object.fromEntries(Object.entries(tree).map(([name, child]) => [name, mapLeaves(child, replace)])) as Tree;
}

/** A new tree with every tensor replaced; what `replace` returns unchanged is shared with the old tree. */
export function mapTensors<Tree>(tree: Tree, replace: (named: NamedTensor) => Tensor): Tree {
  return mapLeaves(tree, (leaf) => {
    const names = leafTensors(leaf).map(([property]) => property);
    const replaced = namedTensorsOf(leaf).map((named, i) => [names[i], replace(named)]);
    const mapped = { ...leaf, ...Object.fromEntries(replaced) } as Leaf;
    if (!('adapter' in mapped) || mapped.adapter === undefined) return mapped;
    return { ...mapped, adapter: { ...mapped.adapter, params: mapTensors(mapped.adapter.params, replace) } };
  });
}

/** How many numbers a tree holds. */
export function countParams(tree: unknown): number {
  return namedTensors(tree).reduce((total, { tensor }) => total + tensor.size, 0);
}

/** A new tree in which the chosen tensors are variables, copies that an optimiser may change; the others are shared.
 * A tensor that stands in several places is one variable, in all of them where any is chosen.
 * @throws when nothing is chosen */
export function trainable<Tree>(tree: Tree, choose: (key: string) => boolean): Tree {
  const named = namedTensors(tree);
  const chosen = new Set(named.filter(({ key }) => choose(key)).map(({ tensor }) => tensor));
  if (chosen.size === 0) {
    const some = named.slice(0, 3).map(({ key }) => key);
    throw new Error(`nn: at least one tensor is to be trained; none was chosen; keys look like ${some.join(', ')}`);
  }
  const variables = new Map(Array.from(chosen, (tensor) => [tensor, variable(tensor, true) as Tensor]));
  return mapTensors(tree, ({ tensor }) => variables.get(tensor) ?? tensor);
}

/** The variables of a tree, by checkpoint key: what an optimiser updates and gradients are taken of. One that stands in
 * several places is there once, by its first key. */
export function trainableTensors(tree: unknown): Record<string, Variable> {
  const variables = namedTensors(tree).filter(({ tensor }) => 'trainable' in tensor && tensor.trainable);
  const keys = new Map(variables.toReversed().map(({ key, tensor }) => [tensor, key]));
  const once = variables.filter(({ key, tensor }) => keys.get(tensor) === key);
  return Object.fromEntries(once.map(({ key, tensor }) => [key, tensor as Variable]));
}

/** Disposes of every tensor of a tree. Tensors shared with another tree are gone there too. */
export function disposeParams(tree: unknown): void {
  for (const { tensor } of namedTensors(tree)) tensor.dispose();
}
