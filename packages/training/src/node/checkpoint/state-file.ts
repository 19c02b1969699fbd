import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type FileMark, markOf } from './files.ts';
import { isObject, type JsonObject } from './json.ts';

/** The file of a checkpoint that names the others. */
export const STATE_FILE = 'state.json';

const FORMAT = 'rass training checkpoint';
const VERSION = 1;

export interface PartFile extends FileMark {
  readonly file: string;
  readonly numbers: Readonly<Record<string, number>>;
}

/** What state.json says. */
export interface CheckpointState {
  /** Updates done. */
  readonly step: number;
  readonly savedAt: string;
  readonly parts: Readonly<Record<string, PartFile>>;
  readonly values: JsonObject;
  readonly recipe: JsonObject;
  /** null where a number was not finite. */
  readonly metrics: Readonly<Record<string, number | null>>;
}

/** A checkpoint on disk. */
export interface SavedCheckpoint extends CheckpointState {
  readonly path: string;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** A checkpoint's folder: `step-00001000`. */
export const stepName = (step: number): string => `step-${String(step).padStart(8, '0')}`;

/** The step of a folder by its name; undefined for another thing. */
export function stepOf(name: string): number | undefined {
  const [, digits] = /^step-(\d{8,})$/.exec(name) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** state.json's text: it vouches for itself, as it does for the other files. */
export function encodeState(state: CheckpointState): string {
  const body = { format: FORMAT, version: VERSION, ...state };
  return `${JSON.stringify({ ...body, sha256: sha256(JSON.stringify(body)) }, undefined, 2)}\n`;
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Reads what a checkpoint says of itself, and compares the files' lengths; their contents are for verifyFiles.
 * @throws saying what is broken */
export async function readState(path: string): Promise<SavedCheckpoint> {
  const text = await readFile(join(path, STATE_FILE), 'utf8').catch(() => undefined);
  if (text === undefined) throw new Error(`${STATE_FILE} is missing`);
  const { sha256: own, ...body } = parsed(text) ?? {};
  if (own !== sha256(JSON.stringify(body))) throw new Error(`${STATE_FILE} is not as it was written`);
  const { format, version, ...state } = body as unknown as CheckpointState & { format: string; version: number };
  if (format !== FORMAT || version !== VERSION) {
    throw new Error(
      `${STATE_FILE} is of the format "${format}", version ${version}, not "${FORMAT}", version ${VERSION}`,
    );
  }
  if (stepName(state.step) !== basename(path)) throw new Error(`${STATE_FILE} is that of step ${state.step}`);
  for (const { file, bytes } of Object.values(state.parts)) {
    const found = await stat(join(path, file)).catch(() => undefined);
    if (found === undefined) throw new Error(`${file} is missing`);
    if (found.size !== bytes) throw new Error(`${file} has ${found.size} bytes; ${bytes} were written`);
  }
  return { path, ...state };
}

/** Reads every file once. @throws when one is not as it was written */
export async function verifyFiles({ path, parts }: SavedCheckpoint): Promise<void> {
  for (const { file, sha256: written } of Object.values(parts)) {
    const { sha256: found } = await markOf(join(path, file));
    if (found !== written) throw new Error(`${file} is not as it was written: its SHA-256 is another`);
  }
}
