import { type ParameterGroup, parameterGroups } from '@rass/training';
import type { OptimizerRecipe } from '../recipe/fields.ts';

/** The groups of a recipe over the trees that a task trains. */
export const groupsOf = (
  tree: unknown,
  { groups, weightDecay, normDecay, embeddingDecay }: OptimizerRecipe,
): ParameterGroup[] =>
  parameterGroups(
    tree,
    groups.map(({ match, factor, name, weightDecay: own }) => ({
      name: name ?? match,
      match: new RegExp(match),
      learningRateFactor: factor,
      ...(own !== undefined && { weightDecay: own }),
    })),
    { weightDecay, normDecay, embeddingDecay },
  );
