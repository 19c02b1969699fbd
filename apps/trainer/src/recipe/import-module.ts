import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
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
 * too. @returns what ends that */
function openHooks(): () => void {
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
      if (!UNSTRIPPED.test(url)) return next(url, context);
      const source = modules.stripTypeScriptTypes(readFileSync(fileURLToPath(url), 'utf8'));
      return { format: 'module', source, shortCircuit: true };
    },
  });
  return () => hooks?.deregister();
}

/** Line and column in a text that begins with a place, its line and a mark below, as V8 prints them. */
function markedPlace(text: string): string | undefined {
  const [first = '', , marks = ''] = text.split('\n');
  const line = /:(\d+)$/.exec(first)?.[1];
  return line && (/^\s*\^/.test(marks) ? `${line}:${marks.indexOf('^') + 1}` : line);
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

/** A recipe's module. @throws with its path, line and column when it cannot be read or throws */
export async function importModule(file: string): Promise<{ readonly default?: unknown }> {
  const path = resolve(file);
  const close = openHooks();
  try {
    return (await import(pathToFileURL(path).href)) as { default?: unknown };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const place = placeOf(path, error);
    throw new Error(
      `recipe: ${file}${place === undefined ? '' : `:${place}`}: a recipe is a module that runs; got ${error.message}; mend it`,
      {
        cause: error,
      },
    );
  } finally {
    close();
  }
}
