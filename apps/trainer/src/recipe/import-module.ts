import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import * as modules from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { neighbour } from '../samples/pool.ts';

/** This package's own entry. */
const ENTRY = neighbour('../index', import.meta.url).href;
const OURS = /^@rass\//;
/** Node strips no types below node_modules. */
const UNSTRIPPED = /\/node_modules\/.*\.m?ts$/;

/** Lets a recipe import this project's packages wherever it lies, as where the command is installed globally, and be TypeScript in node_modules,
 * too. `loaded`: is told each file that it imports, itself among them. @returns what ends that */
function openHooks(loaded: string[]): () => void {
  // Node 22.12 to 22.14 has none; there a recipe finds what is installed beside it.
  const hooks = modules.registerHooks?.({
    resolve(specifier, context, next) {
      try {
        return next(specifier, context);
      } catch (error) {
        if (!OURS.test(specifier)) throw error;
        if (specifier === '@rass/trainer') return { url: ENTRY, shortCircuit: true };
        return next(specifier, { ...context, parentURL: ENTRY });
      }
    },
    load(url, context, next) {
      if (url.startsWith('file:')) loaded.push(fileURLToPath(url));
      if (!UNSTRIPPED.test(url)) return next(url, context);
      const source = modules.stripTypeScriptTypes(readFileSync(fileURLToPath(url), 'utf8'));
      return { format: 'module', source, shortCircuit: true };
    },
  });
  return () => hooks?.deregister();
}

/** Line and column in a text that begins with a place, its line and a mark below, as V8 prints them. */
function markedPlace(text: string): string | undefined {
  const [first = '', ...below] = text.split('\n');
  const line = /:(\d+)$/.exec(first)?.[1];
  // Of TypeScript the lines before are shown, too.
  const marks = below.find((each) => /^\s*\^[\s^]*$/.test(each));
  return line && (marks === undefined ? line : `${line}:${marks.indexOf('^') + 1}`);
}

/** Where in a file an error was thrown, or its syntax is wrong. */
function placeOf(path: string, error: Error): string | undefined {
  const stack = error.stack ?? '';
  const place = [pathToFileURL(path).href, path]
    .map((name) => stack.indexOf(`${name}:`) + name.length)
    .map((at, i) =>
      at < [pathToFileURL(path).href, path][i]!.length ? undefined : /^:(\d+(:\d+)?)/.exec(stack.slice(at))?.[1],
    )
    .find((each) => each !== undefined);
  if (!(error instanceof SyntaxError)) return place;
  // V8 keeps the place of a module's syntax to itself, and prints it.
  return (
    markedPlace(stack) ??
    markedPlace(spawnSync(process.execPath, ['--check', path], { encoding: 'utf8' }).stderr) ??
    place
  );
}

const namesIn = (text: string, path: string): boolean =>
  [pathToFileURL(path).href, path].some((name) => text.includes(`${name}:`));

const hasWrongSyntax = (path: string): boolean =>
  !path.includes('/node_modules/') && spawnSync(process.execPath, ['--check', path]).status !== 0;

/** The file that an error is in: the recipe's own, or one that it imports. */
function fileOf(own: string, loaded: readonly string[], error: Error): string {
  const stack = error.stack ?? '';
  const named = [own, ...loaded].find((path) => namesIn(stack, path));
  if (named !== undefined || !(error instanceof SyntaxError)) return named ?? own;
  // The last that was loaded is most likely.
  return [own, ...loaded.toReversed()].find(hasWrongSyntax) ?? own;
}

/** A recipe's module. @throws with its path, line and column when it cannot be read or throws */
export async function importModule(file: string): Promise<{ readonly default?: unknown }> {
  const path = resolve(file);
  const loaded: string[] = [];
  const close = openHooks(loaded);
  try {
    return (await import(pathToFileURL(path).href)) as { default?: unknown };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const own = existsSync(path) ? realpathSync(path) : path;
    const at = fileOf(own, loaded, error);
    const place = placeOf(at, error);
    const where = `${at === own ? file : `${file}: ${at}`}${place === undefined ? '' : `:${place}`}`;
    const rule = at === own ? 'a recipe is a module that runs' : 'what a recipe imports is a module that runs';
    throw new Error(`recipe: ${where}: ${rule}; got ${error.message}; mend it`, {
      cause: error,
    });
  } finally {
    close();
  }
}
