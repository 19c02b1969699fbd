import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { DatasetClass } from '../dataset.ts';
import { readJson } from './json-file.ts';

/** Beside images/ and annotations/: the classes that labels are places of, where they are not ADE20K's. */
export const CLASSES_FILE = 'classes.json';

const level = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255));
const schema = v.pipe(
  v.array(v.strictObject({ name: v.pipe(v.string(), v.nonEmpty()), colour: v.tuple([level, level, level]) })),
  v.minLength(1),
  v.maxLength(255),
  v.check(
    (classes) => new Set(classes.map(({ name }) => name)).size === classes.length,
    'each class has a name of its own',
  ),
);

/** The classes of a file. @throws when it is not there, or not a list of classes */
export async function readClassesFile(path: string): Promise<readonly DatasetClass[]> {
  const result = v.safeParse(schema, await readJson(path, 'a list of classes'));
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(
    `${path}: ${v.getDotPath(issue) ?? ''}: ${issue.message}; got ${String(JSON.stringify(issue.input)).slice(0, 200)}; it is a list of { name, colour: [red, green, blue] }`,
  );
}

/** The classes of a folder, or undefined where it has no list. @throws when the list is none */
export async function readClasses(folder: string): Promise<readonly DatasetClass[] | undefined> {
  const path = join(folder, CLASSES_FILE);
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  return isThere ? readClassesFile(path) : undefined;
}
