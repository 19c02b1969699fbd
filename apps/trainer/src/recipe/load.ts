import { extname } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { importModule } from './import-module.ts';
import { recipeFile } from './packaged.ts';
import { type Recipe, type RecipeKind, resolveRecipe } from './recipes.ts';
import { readTextRecipe } from './text-recipe.ts';

const MODULES = ['.ts', '.mts', '.js', '.mjs'];

interface ReadRecipe {
  readonly options: unknown;
  /** What errors at a field begin with. */
  placeOf(field: readonly PropertyKey[]): string;
}

async function readRecipe(recipe: string): Promise<ReadRecipe> {
  const path = await recipeFile(recipe);
  const kind = extname(path);
  if (MODULES.includes(kind)) {
    const module = await importModule(path);
    if (module.default !== undefined) return { options: module.default, placeOf: () => `recipe ${recipe}` };
    throw new Error(`recipe: ${path}: a module's default export is the recipe; got none; write export default`);
  }
  if (['.json', '.yaml', '.yml'].includes(kind)) {
    const { value, placeOf } = await readTextRecipe(path);
    return { options: value, placeOf: (field) => `recipe ${placeOf(field)}` };
  }
  throw new Error(
    `recipe: ${path}: a recipe is a ${[...MODULES, '.json', '.yaml'].join(', ')} file; got "${kind}"; rename it`,
  );
}

type Tree = Record<string, unknown>;

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A copy in which the value at a dotted path is another. */
function replaced(tree: unknown, path: readonly string[], value: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  if (Array.isArray(tree)) {
    const index = Number(first);
    if (!/^\d+$/.test(first) || index > tree.length) {
      throw new Error(
        `recipe: --set: a list's items are 0 to ${tree.length}, the last one new; got "${first}"; number one`,
      );
    }
    return tree.toSpliced(index, 1, replaced(tree[index], rest, value));
  }
  const old = isTree(tree) ? tree : {};
  return { ...old, [first]: replaced(old[first], rest, value) };
}

/** One `--set`: `optimizer.rate=1e-4`, the value in YAML's spelling. */
function parseSetting(text: string): { path: string[]; value: unknown } {
  const at = text.indexOf('=');
  if (at < 1) throw new Error(`recipe: --set takes field=value; got "${text}"; such as optimizer.rate=1e-4`);
  const spelled = text.slice(at + 1);
  // YAML reads 1e-4, without a point, as a text.
  const asNumber = spelled.trim() === '' ? Number.NaN : Number(spelled);
  return { path: text.slice(0, at).split('.'), value: Number.isNaN(asNumber) ? parseYaml(spelled) : asNumber };
}

/** Reads a recipe, of a path or one of the package's names, lays the settings over it, checks it and fills in the defaults.
 * @throws when it is no recipe of the kind that the command trains, or a field is wrong */
export async function loadRecipe<K extends RecipeKind>(
  path: string,
  kind: K,
  settings: readonly string[] = [],
): Promise<Extract<Recipe, { kind: K }>> {
  const given = settings.map(parseSetting);
  const { options: base, placeOf } = await readRecipe(path);
  const options = given.reduce((tree, { path: at, value }) => replaced(tree, at, value), base);
  const isSet = (field: readonly PropertyKey[]): boolean =>
    given.some(
      ({ path: at }) => at.length > 0 && at.every((step, i) => i >= field.length || step === String(field[i])),
    );
  const recipe = resolveRecipe(options, (field) =>
    isSet(field) && field.length > 0 ? `recipe ${path}, --set` : placeOf(field),
  );
  if (recipe.kind === kind) return recipe as Extract<Recipe, { kind: K }>;
  throw new Error(`recipe ${path}: this command trains "${kind}"; got a recipe of "${recipe.kind}"; use its command`);
}
