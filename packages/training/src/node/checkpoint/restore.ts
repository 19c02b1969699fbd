import { join } from 'node:path';
import { closest } from '@rass/nn';
import { type Checkpoint, readFloat32 } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { tensor, util, type Variable } from '@tensorflow/tfjs-core';
import { markOf } from './files.ts';
import { differences, type Json, type JsonObject } from './json.ts';
import { type Part, type Parts, restoreNumbers, tensorsOf } from './part.ts';
import { type SavedCheckpoint, stepName } from './state-file.ts';

export interface ResumeOptions {
  /** What this run is asked to do: as the saved run's, but for `mayDiffer`. */
  readonly recipe: JsonObject;
  /** Fields of the recipe that may be others than they were, with all below them: `log`, `schedule.steps`; or which they are beside what was saved. */
  readonly mayDiffer?: readonly string[] | ((saved: JsonObject) => readonly string[]);
  /** What a saved recipe says today, where an earlier version saved it; default: as it was saved. */
  readonly readSaved?: (saved: JsonObject) => JsonObject;
  /** The names of the values that were saved. */
  readonly values?: readonly string[];
}

const quoted = (value: Json | undefined): string => (value === undefined ? 'nothing' : JSON.stringify(value));

function checkRecipe(where: string, saved: SavedCheckpoint, options: ResumeOptions): void {
  const { recipe, mayDiffer = [], readSaved = (each) => each } = options;
  const allowed = typeof mayDiffer === 'function' ? mayDiffer(saved.recipe) : mayDiffer;
  // As it would be saved, without what is undefined.
  const now = JSON.parse(JSON.stringify(recipe)) as JsonObject;
  const others = differences(readSaved(saved.recipe), now).filter(
    ({ field }) => !allowed.some((each) => field === each || field.startsWith(`${each}.`)),
  );
  if (others.length === 0) return;
  const list = others.map((each) => `${each.field} was ${quoted(each.saved)} and is ${quoted(each.now)}`).join('; ');
  throw new Error(
    `${where}: a run goes on by the recipe that it began with; ${list}; change it back, or begin another run in another folder`,
  );
}

/** That two lists of names are the same. */
function checkNames(where: string, what: string, saved: readonly string[], asked: readonly string[]): void {
  const missing = asked.find((name) => !saved.includes(name));
  if (missing !== undefined) {
    throw new Error(
      `${where}: it has each ${what} of this run; got none for "${missing}"; it has ${saved.join(', ') || 'none'}`,
    );
  }
  const unused = saved.find((name) => !asked.includes(name));
  if (unused === undefined) return;
  throw new Error(
    `${where}: each saved ${what} is taken up again; got "${unused}", which this run has not; give it too`,
  );
}

function checkTensors(
  where: string,
  name: string,
  file: Checkpoint,
  tensors: Readonly<Record<string, Variable>>,
): void {
  const saved = new Set(file.keys());
  for (const [key, { shape }] of Object.entries(tensors)) {
    if (!saved.has(key)) {
      const near = closest(key, [...saved]).join();
      throw new Error(`${where}: "${name}" has each tensor of this run; got none for "${key}"; closest: ${near}`);
    }
    const there = file.info(key).shape;
    if (!util.arraysEqual([...there], shape)) {
      throw new Error(
        `${where}: tensors of "${name}" have their saved shape; got [${shape}] for [${there}] of "${key}"; ` +
          'build the model as then',
      );
    }
  }
  const unused = [...saved].find((key) => !(key in tensors));
  if (unused === undefined) return;
  throw new Error(
    `${where}: each saved tensor of "${name}" is taken up again; got "${unused}", which this run has not`,
  );
}

async function assignAll(file: Checkpoint, tensors: Readonly<Record<string, Variable>>): Promise<void> {
  for (const key of file.keys()) {
    const value = tensor(await readFloat32(file, key), [...tensors[key].shape], 'float32');
    tensors[key].assign(value);
    value.dispose();
  }
}

/** Assigns the files of some parts to their variables, after all of them were checked. */
async function takeUp(where: string, saved: SavedCheckpoint, parts: Parts): Promise<void> {
  const files: [string, Part, Checkpoint][] = [];
  try {
    for (const [name, part] of Object.entries(parts)) {
      files.push([name, part, await openCheckpoint(join(saved.path, saved.parts[name].file))]);
    }
    for (const [name, part, file] of files) checkTensors(where, name, file, tensorsOf(name, part));
    for (const [name, part, file] of files) {
      restoreNumbers(name, part, saved.parts[name].numbers);
      await assignAll(file, tensorsOf(name, part));
    }
  } finally {
    for (const [, , file] of files) await file.close();
  }
}

/** Takes up a checkpoint whose files were verified: the numbers of every variable are those that were saved, to the
 * bit. Nothing is assigned before all of it fits.
 * @throws when a part, a tensor or a value is missing or left over, a shape or the recipe another */
export async function restoreAll(saved: SavedCheckpoint, parts: Parts, options: ResumeOptions): Promise<void> {
  const where = `resume from ${stepName(saved.step)}`;
  checkRecipe(where, saved, options);
  checkNames(where, 'part', Object.keys(saved.parts), Object.keys(parts));
  checkNames(where, 'value', Object.keys(saved.values), options.values ?? []);
  await takeUp(where, saved, parts);
}

/** That a checkpoint was saved by a run like this one: what resuming checks first, without reading a tensor.
 * @throws naming the fields that are others */
export const checkResume = (saved: SavedCheckpoint, options: Omit<ResumeOptions, 'values'>): void =>
  checkRecipe(`resume from ${stepName(saved.step)}`, saved, options);

/** Takes up one part of a checkpoint alone, such as the averages to judge by, and verifies its file first.
 * @throws when it is not there, does not fit, or is not as it was written */
export async function restorePart(saved: SavedCheckpoint, name: string, part: Part): Promise<void> {
  const where = `restore from ${stepName(saved.step)}`;
  const names = Object.keys(saved.parts);
  if (!(name in saved.parts)) throw new Error(`${where}: it has the part; got "${name}"; it has ${names.join(', ')}`);
  const { file, sha256 } = saved.parts[name];
  if ((await markOf(join(saved.path, file))).sha256 !== sha256) {
    throw new Error(`${where}: ${file} is as it was written; its SHA-256 is another; take another checkpoint`);
  }
  await takeUp(where, saved, { [name]: part });
}
