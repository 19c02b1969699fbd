import type { DatasetClass } from '@rass/datasets';
import type { Recipe } from '../recipe/recipes.ts';
import type { TrainingTask } from '../training/task.ts';
import { scrTask } from './scr.ts';
import { segTask } from './seg.ts';
import { unetTask } from './unet.ts';
import { vaeTask } from './vae.ts';

/** The task of a recipe, at its start. `classes`: of the samples' labels. */
export function startTask(recipe: Recipe, classes: readonly DatasetClass[]): Promise<TrainingTask> {
  const names = classes.map(({ name }) => name);
  if (recipe.kind === 'vae') return vaeTask(recipe);
  if (recipe.kind === 'unet') return unetTask(recipe, names);
  return recipe.kind === 'scr' ? scrTask(recipe, names) : segTask(recipe, classes);
}
