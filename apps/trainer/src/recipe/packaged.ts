import { globSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closest } from '@rass/nn';

/** The recipes of this package, beside src/ and dist/ alike. */
const FOLDER = fileURLToPath(new URL('../../recipes', import.meta.url));
const ENDING = '.js';

/** What the package's recipes are called: `sd21/scr`. */
export const recipeNames = (): string[] =>
  globSync(`*/*${ENDING}`, { cwd: FOLDER })
    .map((path) => path.slice(0, -ENDING.length).replaceAll('\\', '/'))
    .sort();

/** The file of a recipe: that at a path, or the package's own of a name. @throws when it is neither, or no regular file */
export async function recipeFile(recipe: string): Promise<string> {
  const entry = await stat(recipe).catch(() => undefined);
  if (entry?.isFile()) return recipe;
  const names = recipeNames();
  if (names.includes(recipe)) return join(FOLDER, `${recipe}${ENDING}`);
  const got = entry === undefined ? 'nothing' : entry.isDirectory() ? 'a folder' : 'a pipe or a device';
  // Of a path into the package, what it is called.
  const meant = recipe
    .replaceAll('\\', '/')
    .replace(/\.\w+$/, '')
    .split('/')
    .slice(-2)
    .join('/');
  throw new Error(
    `recipe: ${recipe}: a recipe is a file, or one of ${names.join(', ')}; got ${got}; closest: ${closest(meant, names, 1).join()}`,
  );
}
