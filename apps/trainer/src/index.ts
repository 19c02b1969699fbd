export {
  defineRecipe,
  type Recipe,
  type RecipeKind,
  type RecipeOptions,
  resolveRecipe,
  type ScrRecipe,
  type SegRecipe,
  type UnetRecipe,
  type VaeRecipe,
} from './recipe/recipes.ts';
