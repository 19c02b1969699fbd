import { type Layer, mapLeaves, namedTensors, trainable } from '@rass/nn';
import { withShares } from './forward.ts';
import { adaptedLayers, adapterNames, checkKnown } from './names.ts';
import { type Share, sharesOf } from './shares.ts';

export interface TrainOptions {
  /** Leave the first factor as it started: half the parameters, and averaging adapters is exact.
   * @source arXiv 2308.03303 (LoRA-FA) */
  freezeDown?: boolean;
}

/** Keys of what of a share is trained. */
function trainedKeys({ factors, magnitude, bias, whole }: Share, freezeDown: boolean): string[] {
  const trained = { down: freezeDown ? undefined : factors?.down, up: factors?.up, magnitude, bias, whole };
  return namedTensors(trained).map(({ key }) => key);
}

/** A new tree in which the tensors of these adapters (default: all that act) are variables, for optimisers and gradients;
 * trainableTensors of @rass/nn lists them by key. Keys end in `lora_A.<name>.weight`, `lora_B.<name>.weight` and so on, so that groups
 * with rates of their own (LoRA+) are chosen by pattern. @throws on an unknown name */
export function trainAdapters<Tree>(
  tree: Tree,
  names?: readonly string[],
  { freezeDown = false }: TrainOptions = {},
): Tree {
  const layers = adaptedLayers(tree);
  const chosen =
    names ?? adapterNames(tree).filter((name) => layers.some(({ shares }) => Object.hasOwn(shares.active, name)));
  checkKnown(chosen, tree);
  const keys = new Set(
    layers.flatMap(({ shares }) =>
      chosen.flatMap((name) =>
        Object.hasOwn(shares.shares, name) ? trainedKeys(shares.shares[name], freezeDown) : [],
      ),
    ),
  );
  return trainable(tree, (key) => keys.has(key));
}

/** A new tree that trains with dropout drawn from a seed: give each step its own, and the same to a step that is computed again.
 * Without a seed nothing is dropped. @throws when the seed is no whole number */
export function withDropout<Tree>(tree: Tree, seed: number | undefined): Tree {
  if (seed !== undefined && !Number.isSafeInteger(seed)) {
    throw new Error(`lora: a seed is a whole number; got ${seed}; give the step's number`);
  }
  return mapLeaves(tree, (leaf) => {
    const shares = sharesOf(leaf);
    return shares === undefined ? leaf : withShares(leaf as Layer, { ...shares, seed });
  });
}
