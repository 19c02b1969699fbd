import type { Unmatched } from '../recipe/recipe.ts';
import { checkAgreement } from './agree.ts';
import type { TensorNode } from './node.ts';

/** The tensors of a stage's models, told apart. */
export interface AlignedKeys {
  /** Of the result, in the order of the models. */
  readonly keys: readonly string[];
  /** Those that every model has. */
  readonly common: readonly string[];
  /** Those that are copied, each with the first model that has it. */
  readonly kept: ReadonlyMap<string, TensorNode>;
  readonly dropped: readonly string[];
}

/** Compares the tensors of models, of which some may lack some where a recipe says what becomes of them.
 * @throws naming those that differ */
export function alignKeys(where: string, nodes: readonly TensorNode[], rule: Unmatched | undefined): AlignedKeys {
  const all = [...new Set(nodes.flatMap(({ keys }) => keys))];
  const common = rule === undefined ? nodes[0].keys : all.filter((key) => nodes.every((node) => node.has(key)));
  if (rule !== undefined && common.length === 0) {
    const names = nodes.map(({ name }) => name).join(', ');
    throw new Error(`${where}: models that are merged have tensors in common; got none of ${names}; they are of different architectures`); // biome-ignore format: one line
  }
  checkAgreement(where, nodes, rule === undefined ? undefined : common);
  const known = new Set(common);
  const others = rule === undefined ? [] : all.filter((key) => !known.has(key));
  if (rule !== 'keep') return { keys: common, common, kept: new Map(), dropped: others };
  const kept = new Map(others.map((key) => [key, nodes.find((node) => node.has(key))!]));
  return { keys: all, common, kept, dropped: [] };
}
