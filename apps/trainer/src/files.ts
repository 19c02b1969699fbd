import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { hiddenIn, hiddenName, sweepLeftovers } from '@rass/merge/node';

/** A hidden name beside a place, by which what a killed process leaves is known again. Of a whole path: `model/` would lie in what it stands beside. */
const besideOf = (path: string, kind: 'tmp' | 'old' = 'tmp'): string =>
  hiddenName(resolve(path), randomBytes(4).toString('hex'), kind);

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'a full disk',
  EDQUOT: 'a full quota',
  EROFS: 'a read-only file system',
  EACCES: 'no permission',
  EPERM: 'no permission',
};

/** An error of the system with the place that it is about, where the system does not name it in its words. */
function atPlace(path: string, error: unknown): unknown {
  const reason = REASONS[(error as NodeJS.ErrnoException)?.code ?? ''];
  if (reason === undefined) return error;
  return new Error(`${path}: it can be written; got ${reason}; free some space, or name another place`, {
    cause: error,
  });
}

/** Why nothing could be written to a folder, which may not be there yet; makes nothing. */
export async function unwritable(folder: string): Promise<string | undefined> {
  for (let place = resolve(folder); ; place = dirname(place)) {
    const entry = await stat(place).catch(() => undefined);
    if (entry === undefined && place !== dirname(place)) continue;
    if (entry?.isDirectory() === false) return `a file at ${place}`;
    const error = await access(place, constants.W_OK).catch((reason: NodeJS.ErrnoException) => reason);
    return error === undefined ? undefined : `${place}, which cannot be written to (${error.code})`;
  }
}

/** What lay hidden in a folder when the first file was written to it: listing it for each takes time with the square of their number. */
const found = new Map<string, Promise<readonly string[]>>();

async function sweepOf(path: string): Promise<void> {
  const folder = dirname(path);
  const hidden = found.get(folder) ?? hiddenIn(folder);
  found.set(folder, hidden);
  await sweepLeftovers(path, await hidden);
}

/** Writes a file under another name beside its place and renames it, so that it is there whole or as it was. */
export async function writeBeside(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = besideOf(path);
  try {
    await mkdir(dirname(temporary), { recursive: true });
    await sweepOf(resolve(path));
    await writeFile(temporary, data);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw atPlace(path, error);
  }
}

/** A value as the text of a JSON file. */
export const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** Whether something lies at a path. */
export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Whether a path lies in a folder. */
export const isInside = (path: string, folder: string): boolean => resolve(path).startsWith(`${resolve(folder)}${sep}`);
export const isSame = (a: string, b: string): boolean => resolve(a) === resolve(b);

/** That a result would take the place of nothing that it is made of.
 * @throws when it would */
export function checkResult(where: string, result: string, inputs: readonly string[]): void {
  const own = inputs.find((input) => isSame(result, input) || isInside(result, input));
  if (own === undefined) return;
  const got = isSame(result, own) ? `${result} for both` : `${result} in ${own}`;
  throw new Error(`${where}: a result does not lie among what it is made of; got ${got}; name another place`);
}

/** That a folder can be put at a place, where it would replace nothing but one whose entries `isOwn` knows.
 * @throws when a file or other things lie there, or when what it is made of lies in it or around it */
export async function checkFolderPlace(
  out: string,
  { inputs, what, isOwn }: { readonly inputs: readonly string[]; readonly what: string; isOwn?(name: string): boolean },
): Promise<void> {
  const around = inputs.find((input) => isSame(input, out) || isInside(input, out) || isInside(out, input));
  if (around !== undefined) {
    const got = isSame(around, out) ? `${out} for both` : `${around} beside it`;
    throw new Error(`${out}: ${what} and what it is made of lie apart; got ${got}; name another folder`);
  }
  const entry = await stat(out).catch(() => undefined);
  if (entry === undefined) return;
  if (!entry.isDirectory())
    throw new Error(`${out}: ${what} is a folder; got a file there; name another, or remove it`);
  const other = (await readdir(out)).find((name) => isOwn?.(name) !== true);
  if (other === undefined) return;
  const rule = isOwn === undefined ? 'a new folder' : 'a new folder, or in place of another one';
  throw new Error(`${out}: ${what} is written into ${rule}; got one with ${other} in it; name another`);
}

/** Makes a folder under another name beside its place, and puts it there when it is whole; what was there is gone then, and untouched
 * before. @throws when it is the folder that the process stands in */
export async function makeFolderBeside(path: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  if (isSame(path, '.')) {
    throw new Error(`${path}: a folder is put in its place when it is whole; got the current one; name one in it`);
  }
  const [temporary, old] = [besideOf(path), besideOf(path, 'old')];
  try {
    await mkdir(dirname(temporary), { recursive: true });
    // What a process that was killed between the two renames has moved aside comes back.
    await sweepLeftovers(resolve(path));
    await mkdir(temporary);
    await fill(temporary);
    const had = await exists(path);
    if (had) await rename(resolve(path), old);
    try {
      await rename(temporary, resolve(path));
    } catch (error) {
      if (had) await rename(old, resolve(path));
      throw error;
    }
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw atPlace(path, error);
  }
  await rm(old, { recursive: true, force: true });
}

/** The object of a JSON file. @throws when it is none */
export async function readJsonFile(path: string): Promise<Record<string, unknown>> {
  const value: unknown = await parsedFile(path, JSON.parse);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${path}: it is a JSON object; got ${JSON.stringify(value).slice(0, 40)}; write { ... }`);
}

/** What a small file says. @throws when it is not there or cannot be parsed, with its path */
export async function parsedFile<T>(path: string, parse: (text: string) => T): Promise<T> {
  const entry = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
  });
  // A pipe would wait for a writer.
  if (!entry?.isFile()) {
    const got = entry === undefined ? 'nothing' : entry.isDirectory() ? 'a folder' : 'a pipe or a device';
    throw new Error(`${path}: it is a file; got ${got}; check the path`);
  }
  const text = await readFile(path, 'utf8');
  try {
    return parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw message.startsWith(path) ? error : new Error(`${path}: ${message}`, { cause: error });
  }
}
