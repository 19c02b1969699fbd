import { type ParameterGroup, parameterGroups } from '@rass/training';
import type { Variable } from '@tensorflow/tfjs-core';
import type { OptimizerRecipe } from '../recipe/fields.ts';

/** The groups of a recipe over what a task trains. */
export const groupsOf = (
  variables: Readonly<Record<string, Variable>>,
  { groups, weightDecay }: OptimizerRecipe,
): ParameterGroup[] =>
  parameterGroups(
    variables,
    groups.map(({ match, factor, name, weightDecay: own }) => ({
      name: name ?? match,
      match: new RegExp(match),
      learningRateFactor: factor,
      ...(own !== undefined && { weightDecay: own }),
    })),
    { weightDecay },
  );
