import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { startSafetensors, type TensorSpec } from '@rass/weights';
import { fileSink } from '@rass/weights/node';
import { clone, dispose, keep, type Tensor } from '@tensorflow/tfjs-core';
import { markedSink, syncFolder, writeSynced } from './files.ts';
import { checkJson, type JsonObject } from './json.ts';
import { numbersOf, type Part, type Parts, tensorsOf } from './part.ts';
import { encodeState, type PartFile, STATE_FILE, stepName } from './state-file.ts';

/** What a checkpoint is made of. */
export interface TrainingState {
  /** Updates done. */
  readonly step: number;
  readonly parts: Parts;
  /** What else a resumed run needs: states of random generators, the position in the data. */
  readonly values?: JsonObject;
  /** What the run was asked to do, resolved: a run that resumes is asked for the same. */
  readonly recipe: JsonObject;
  /** Scores of this state; one that is not finite is kept as null. */
  readonly metrics?: Readonly<Record<string, number>>;
}

/** A part's tensors as they are now, whatever their variables are assigned later. */
interface PartSnapshot {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly numbers: Readonly<Record<string, number>>;
}

/** A state as it was at one moment. */
export interface Snapshot {
  readonly step: number;
  readonly parts: Readonly<Record<string, PartSnapshot>>;
  readonly values: JsonObject;
  readonly recipe: JsonObject;
  readonly metrics: Readonly<Record<string, number>>;
}

const PART_NAME = /^[A-Za-z][\w-]*$/;

function snapshotOfPart(name: string, part: Part): PartSnapshot {
  if (!PART_NAME.test(name)) {
    throw new Error(`checkpoint: a part's name is letters, digits, - and _; got "${name}"; it names a file`);
  }
  const numbers = numbersOf(part);
  checkJson('checkpoint', numbers, name);
  const tensors = Object.entries(tensorsOf(name, part)).map(([key, each]) => [key, keep(clone(each))]);
  return { tensors: Object.fromEntries(tensors), numbers: { ...numbers } };
}

/** Holds a state fast; no number is copied. Its tensors belong to the caller, who frees them.
 * @throws when it cannot be saved */
export function snapshotOf(state: TrainingState): Snapshot {
  checkState(state);
  const parts: Record<string, PartSnapshot> = {};
  const snapshot = { step: state.step, parts, ...structuredClone(restOf(state)) };
  try {
    for (const [name, part] of Object.entries(state.parts)) parts[name] = snapshotOfPart(name, part);
    return snapshot;
  } catch (error) {
    freeSnapshot(snapshot);
    throw error;
  }
}

const restOf = ({ values = {}, recipe, metrics = {} }: TrainingState) => ({ values, recipe, metrics });

/** Frees the tensors of a snapshot. The variables stay. */
export function freeSnapshot({ parts }: Pick<Snapshot, 'parts'>): void {
  for (const { tensors } of Object.values(parts)) dispose(tensors);
}

async function writePart(folder: string, name: string, { tensors, numbers }: PartSnapshot): Promise<PartFile> {
  const file = `${name}.safetensors`;
  const { sink, mark } = markedSink(await fileSink(join(folder, file)));
  const specs = Object.entries(tensors).map(([key, { shape }]): [string, TensorSpec] => [key, { dtype: 'F32', shape }]);
  // Convolutions are HWIO here, as in memory, where a model's own files have OIHW.
  const writer = await startSafetensors(sink, new Map(specs), { metadata: { layout: 'as in memory' } });
  try {
    for (const key of writer.names) await writer.write(key, (await tensors[key].data()) as Float32Array<ArrayBuffer>);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.finish();
  return { file, ...mark(), numbers };
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** A folder that is being written, one that is being replaced, one that is being removed. */
type HiddenKind = 'tmp' | 'old' | 'gone';

const hiddenName = (step: number, kind: HiddenKind): string =>
  `.${stepName(step)}.${randomBytes(4).toString('hex')}.${kind}`;

/** The kind and the visible name of a hidden folder; undefined for another name. */
export function hiddenKind(name: string): { kind: HiddenKind; visible: string } | undefined {
  const [, visible, kind] = /^\.(step-\d{8,})\.[0-9a-f]{8}\.(tmp|old|gone)$/.exec(name) ?? [];
  return kind === undefined ? undefined : { kind: kind as HiddenKind, visible };
}

/** Takes a checkpoint away: at no moment does a part of it lie under its name. */
export async function removeCheckpoint(folder: string, step: number): Promise<void> {
  const hidden = join(folder, hiddenName(step, 'gone'));
  await rename(join(folder, stepName(step)), hidden);
  await rm(hidden, { recursive: true, force: true });
}

function checkState({ step, values = {}, recipe, metrics = {} }: TrainingState): void {
  if (!(Number.isSafeInteger(step) && step >= 0)) {
    throw new Error(`checkpoint: a step is a whole number from 0; got ${step}; count the updates done`);
  }
  checkJson('checkpoint', values, 'values');
  checkJson('checkpoint', recipe, 'recipe');
  const other = Object.entries(metrics).find(([, value]) => typeof value !== 'number');
  if (other !== undefined) {
    throw new Error(`checkpoint: metrics are numbers; got ${typeof other[1]} for "${other[0]}"; leave it out`);
  }
}

async function writeHidden(hidden: string, { parts, ...rest }: Snapshot): Promise<void> {
  await mkdir(hidden);
  const files: Record<string, PartFile> = {};
  for (const [name, part] of Object.entries(parts)) files[name] = await writePart(hidden, name, part);
  const text = encodeState({ ...rest, savedAt: new Date().toISOString(), parts: files });
  await writeSynced(join(hidden, STATE_FILE), text);
  await syncFolder(hidden);
}

/** Writes a checkpoint beside its place and moves it there when all of it is on disk; one of the same step is replaced.
 * Returns its path. @throws when something cannot be written; then what was there is as it was */
export async function writeCheckpoint(folder: string, snapshot: Snapshot): Promise<string> {
  const { step } = snapshot;
  const hidden = join(folder, hiddenName(step, 'tmp'));
  const path = join(folder, stepName(step));
  const old = join(folder, hiddenName(step, 'old'));
  try {
    await writeHidden(hidden, snapshot);
    const isReplaced = await exists(path);
    if (isReplaced) await rename(path, old);
    await rename(hidden, path);
    await syncFolder(folder);
    if (isReplaced) await rm(old, { recursive: true, force: true });
    return path;
  } catch (error) {
    await rm(hidden, { recursive: true, force: true }).catch(() => {});
    if ((await exists(old)) && !(await exists(path))) await rename(old, path);
    throw error;
  }
}
