import { closest, type Leaf, mapLeaves } from '@rass/nn';
import { type LayerShares, sharesOf } from './shares.ts';

/** The leaves of a model, without those of its adapters. */
export function layersOf(tree: unknown): Leaf[] {
  const found: Leaf[] = [];
  mapLeaves(tree, (leaf) => {
    found.push(leaf);
    return leaf;
  });
  return found;
}

/** The leaves that have adapters. */
export function adaptedLayers(tree: unknown): { leaf: Leaf; shares: LayerShares }[] {
  return layersOf(tree).flatMap((leaf) => {
    const shares = sharesOf(leaf);
    return shares === undefined ? [] : [{ leaf, shares }];
  });
}

/** The adapters of a tree, in the order of the layers that they are on. */
export function adapterNames(tree: unknown): string[] {
  return [...new Set(adaptedLayers(tree).flatMap(({ shares }) => Object.keys(shares.shares)))];
}

// Names stand between dots in paths.
const NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/;

/** @throws unless a new adapter may have the name */
export function checkFree(name: string, taken: readonly string[]): void {
  if (!NAME.test(name)) {
    throw new Error(
      `lora: an adapter's name has letters, digits, _ and -, and starts with a letter or _; got "${name}"`,
    );
  }
  if (taken.includes(name)) {
    throw new Error(
      `lora: each adapter has a name of its own; got "${name}" twice; remove the first, or choose another`,
    );
  }
}

/** @throws unless the tree has an adapter of each name */
export function checkKnown(names: readonly string[], tree: unknown): void {
  const known = adapterNames(tree);
  const lost = names.find((name) => !known.includes(name));
  if (lost === undefined) return;
  const near = closest(lost, known, 2).join(', ');
  throw new Error(
    `lora: the model has an adapter of each name; got "${lost}"; ${near === '' ? 'it has none' : `closest: ${near}`}`,
  );
}
