import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parse as parseYaml } from 'yaml';
import { exists, parsedFile } from '../files.ts';
import { type Recipe, type RecipeKind, resolveRecipe } from './recipes.ts';

const MODULES = ['.ts', '.mts', '.js', '.mjs'];

async function readRecipe(path: string): Promise<unknown> {
  const kind = extname(path);
  if (!(await exists(path))) throw new Error(`recipe: ${path}: a recipe is a file; got nothing; check the path`);
  if (MODULES.includes(kind)) {
    const module = (await import(pathToFileURL(resolve(path)).href)) as { default?: unknown };
    if (module.default !== undefined) return module.default;
    throw new Error(`recipe: ${path}: a module's default export is the recipe; got none; write export default`);
  }
  if (['.json', '.yaml', '.yml'].includes(kind)) return parsedFile(path, parseYaml);
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

/** Reads a recipe's file, lays the settings over it, checks it and fills in the defaults.
 * @throws when it is no recipe of the kind that the command trains, or a field is wrong */
export async function loadRecipe<K extends RecipeKind>(
  path: string,
  kind: K,
  settings: readonly string[] = [],
): Promise<Extract<Recipe, { kind: K }>> {
  const given = settings.map(parseSetting);
  const base = await readRecipe(path);
  const options = given.reduce((tree, { path: at, value }) => replaced(tree, at, value), base);
  const recipe = resolveRecipe(options, `recipe ${path}`);
  if (recipe.kind === kind) return recipe as Extract<Recipe, { kind: K }>;
  throw new Error(`recipe ${path}: this command trains "${kind}"; got a recipe of "${recipe.kind}"; use its command`);
}
