import type { Recipe } from '../recipe/recipes.ts';
import { type OpenFeed, openFeed } from './feed.ts';

/** Whether a task reads its samples' labels. */
export function readsLabels(recipe: Recipe): boolean {
  if (recipe.kind === 'vae') return false;
  return recipe.kind === 'seg' || recipe.tags === 'labels' || (recipe.kind === 'scr' && recipe.loss.alignment > 0);
}

/** Opens the samples of a recipe. @throws as openFeed */
export const openRecipeFeed = (recipe: Recipe): Promise<OpenFeed> =>
  openFeed({ degradation: 'none', ...recipe, readsLabels: readsLabels(recipe) });
