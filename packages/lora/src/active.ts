import { closest, type Layer, mapLeaves } from '@rass/nn';
import { checkDoraRule, type DoraRule } from './algebra/dora.ts';
import { disposeShare, shareTensors } from './dispose.ts';
import { withShares } from './forward.ts';
import { adaptedLayers, adapterNames, checkKnown } from './names.ts';
import { type LayerShares, type Share, shareOf, sharesOf } from './shares.ts';
import { restoredWeight } from './start.ts';

/** An adapter that is to act, and how strongly. */
export interface AdapterChoice {
  readonly name: string;
  /** Multiplies its product, beside alpha / rank; default 1. Any finite number; with 0 nothing of it acts, no layer that it trained whole either. */
  readonly weight?: number;
  /** Other weights by path: `{ 'up_blocks': 0.5, 'up_blocks.1': 0.2, conv_in: 0 }`. The longest that the layer's path starts
   * with counts. It reaches every layer, convolutions too. */
  readonly blocks?: Readonly<Record<string, number>>;
  /** The rule by which DoRA is scaled where the weight is not 1; default `peft`. */
  readonly dora?: DoraRule;
}

const starts = (path: string, prefix: string): boolean => path === prefix || path.startsWith(`${prefix}.`);

function weightFor(path: string, { weight = 1, blocks = {} }: AdapterChoice): number {
  const prefixes = Object.keys(blocks).filter((prefix) => starts(path, prefix));
  const longest = prefixes.reduce((a, b) => (b.length > a.length ? b : a), '');
  return longest === '' ? weight : blocks[longest];
}

function checkChoice(choice: AdapterChoice, paths: readonly string[]): void {
  const { name, weight = 1, blocks = {}, dora = 'peft' } = choice;
  checkDoraRule(dora);
  for (const value of [weight, ...Object.values(blocks)]) {
    if (Number.isFinite(value)) continue;
    throw new Error(
      `lora: an adapter's weight is a finite number; got ${value} for "${name}"; give one, 0 to leave it out`,
    );
  }
  const lost = Object.keys(blocks).find((prefix) => !paths.some((path) => starts(path, prefix)));
  if (lost === undefined) return;
  const prefixes = new Set(
    paths.flatMap((path) => path.split('.').map((_, i, steps) => steps.slice(0, i + 1).join('.'))),
  );
  const near = closest(lost, [...prefixes], 2).join(', ');
  throw new Error(
    `lora: each block is the start of the path of a layer that "${name}" is on; got "${lost}"; closest: ${near}`,
  );
}

/** A layer whose weights belong to an adapter is one adapter's at a time. */
export function checkWholes(
  active: Readonly<Record<string, number>>,
  shares: LayerShares['shares'],
  path: string,
): void {
  const wholes = Object.keys(active).filter((name) => {
    const share = shareOf(shares, name);
    return active[name] !== 0 && (share?.whole !== undefined || share?.bias !== undefined);
  });
  if (wholes.length < 2) return;
  throw new Error(
    `lora: a layer or bias trained whole is one adapter's at a time; got ${path} of ${wholes.join(' and ')}; activate one of them`,
  );
}

/** A new tree in which exactly these adapters act. @throws on an unknown name, a block without layers, or two adapters that
 * each have a layer of their own @source peft set_adapter, diffusers set_adapters */
export function useAdapters<Tree>(tree: Tree, choices: readonly (string | AdapterChoice)[]): Tree {
  const chosen = choices.map((choice) => (typeof choice === 'string' ? { name: choice } : choice));
  checkKnown(
    chosen.map(({ name }) => name),
    tree,
  );
  const layers = adaptedLayers(tree);
  checkNotMerged(layers);
  for (const choice of chosen) {
    const own = layers.filter(({ shares }) => Object.hasOwn(shares.shares, choice.name));
    checkChoice(
      choice,
      own.map(({ leaf }) => leaf.path),
    );
  }
  return mapLeaves(tree, (leaf) => {
    const shares = sharesOf(leaf);
    if (shares === undefined) return leaf;
    const here = chosen.filter(({ name }) => Object.hasOwn(shares.shares, name));
    const active = Object.fromEntries(here.map((choice) => [choice.name, weightFor(leaf.path, choice)]));
    const dora = Object.fromEntries(here.flatMap(({ name, dora: rule }) => (rule === undefined ? [] : [[name, rule]])));
    checkWholes(active, shares.shares, leaf.path);
    return withShares(leaf as Layer, { ...shares, active, dora });
  });
}

function checkNotMerged(layers: readonly { leaf: { path: string }; shares: LayerShares }[]): void {
  const merged = layers.find(({ shares }) => shares.base !== undefined);
  if (merged === undefined) return;
  throw new Error(
    `lora: adapters are changed in a model that they are not merged into; got ${merged.leaf.path} merged; call unmergeAdapters first`,
  );
}

/** A new tree without an adapter, whose tensors are freed, also where another tree shares them. What PiSSA or OLoRA took out of
 * the base weights is given back. @throws on an unknown name or a merged model @source peft delete_adapter */
export function removeAdapter<Tree>(tree: Tree, name: string): Tree {
  checkKnown([name], tree);
  checkNotMerged(adaptedLayers(tree));
  return mapLeaves(tree, (leaf) => {
    const shares = sharesOf(leaf);
    const share = shares && shareOf(shares.shares, name);
    if (shares === undefined || share === undefined) return leaf;
    const { [name]: _, ...others } = shares.shares;
    const { [name]: __, ...active } = shares.active;
    const weight = share.start === undefined ? {} : { weight: restoredWeight(leaf as Layer, share) };
    const layer = withShares({ ...leaf, ...weight } as Layer, { ...shares, shares: others, active });
    disposeShare(share);
    return layer;
  });
}

/** What a tree has of adapters. */
export interface AdapterSummary {
  readonly name: string;
  /** Layers that it changes. */
  readonly layers: number;
  /** Numbers that it has. */
  readonly parameters: number;
  readonly active: boolean;
  readonly merged: boolean;
}

const sizeOf = (share: Share): number =>
  // Where a start is remembered it is no number of the adapter's own.
  shareTensors({ ...share, start: undefined }).reduce((total, { size }) => total + size, 0);

/** Every adapter of a tree, with its size and whether it acts. */
export function describeAdapters(tree: unknown): AdapterSummary[] {
  const layers = adaptedLayers(tree);
  return adapterNames(tree).map((name) => {
    const own = layers.filter(({ shares }) => Object.hasOwn(shares.shares, name));
    return {
      name,
      layers: own.length,
      parameters: own.reduce((total, { shares }) => total + sizeOf(shares.shares[name]), 0),
      active: own.some(({ shares }) => Object.hasOwn(shares.active, name)),
      merged: own.some(({ shares }) => shares.base !== undefined && Object.hasOwn(shares.active, name)),
    };
  });
}
