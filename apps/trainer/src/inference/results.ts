import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { unwritable, writeBeside } from '../files.ts';

/** In a folder of results: a line of JSON for each, with its path below the folder and the photograph that it was made of. By it later runs
 * tell results from photographs. */
const RECORD = 'rass-results.jsonl';

/** A file that is to be written. */
export interface ResultFile {
  readonly path: string;
  readonly data: string | Uint8Array;
}

/** The place of results takes none: no other image's can be written, either. */
export class OutputError extends Error {
  override name = 'OutputError';
}

const outputError = (out: string, reason: string, cause?: unknown): OutputError =>
  new OutputError(`${out}: results are written there; got ${reason}; make room, or name another folder`, { cause });

/** What is wrong with the folder or its disk, rather than with one image's results. */
const OF_THE_PLACE = ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EFBIG', 'ENOTDIR'];

/** The system's code for an error of its own, or for what an error says of one. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return (error as NodeJS.ErrnoException).code ?? codeOf(error.cause);
}

/** An image's results that cannot be written, though others may be. */
function writeError(of: string, error: unknown): unknown {
  if (codeOf(error) === undefined) return error;
  const got = systemsWords(error);
  return new Error(`${of}: its results can be written; got ${got}; rename it, or see what lies in their place`, {
    cause: error,
  });
}

/** What the system said. */
function systemsWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}

interface Recorded {
  readonly result: string;
  readonly of: string;
}

function parsed(line: string): Recorded | undefined {
  try {
    const { result, of } = JSON.parse(line);
    return typeof result === 'string' && typeof of === 'string' ? { result, of } : undefined;
  } catch {
    // The last line of a run that was killed.
    return undefined;
  }
}

async function recordOf(folder: string): Promise<Recorded[]> {
  const text = await readFile(join(folder, RECORD), 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => parsed(line) ?? []);
}

/** That results could be written to a folder that may not be there yet; makes nothing. @throws OutputError when they could not */
export async function checkOut(out: string): Promise<void> {
  const reason = await unwritable(out);
  if (reason !== undefined) throw outputError(out, reason);
}

/** Where results go. */
export interface Results {
  /** Writes an image's results, and records them first, so that none is ever taken for a photograph.
   * @throws OutputError when no other image's could be written, either */
  write(files: readonly ResultFile[], of: string): Promise<void>;
}

/** Makes the folder of results, and tries whether it takes files. @throws OutputError when it does not */
export async function openResults(out: string): Promise<Results> {
  const trial = join(out, `.rass-${process.pid}.tmp`);
  try {
    await mkdir(out, { recursive: true });
    await writeFile(trial, 'x');
    await rm(trial);
  } catch (error) {
    throw outputError(out, systemsWords(error), error);
  }
  const recorded = new Set((await recordOf(out)).map(({ result }) => result));
  return {
    async write(files, of) {
      try {
        const fresh = files.map(({ path }) => relative(out, path)).filter((result) => !recorded.has(result));
        const lines = fresh.map((result) => `${JSON.stringify({ result, of: resolve(of) })}\n`);
        await appendFile(join(out, RECORD), lines.join(''));
        for (const result of fresh) recorded.add(result);
        for (const { path, data } of files) await writeBeside(path, data);
      } catch (error) {
        if (OF_THE_PLACE.includes(codeOf(error) ?? '')) throw outputError(out, systemsWords(error), error);
        throw writeError(of, error);
      }
    },
  };
}

/** The folders from a folder down to a path in it. */
function foldersOf(root: string, below: string): string[] {
  const parts = dirname(below).split(sep).filter((part) => part !== '.'); // biome-ignore format: one line
  return [root, ...parts.map((_, i) => join(root, ...parts.slice(0, i + 1)))];
}

/** Which of a folder's files are results, by the records in it, in the folders in it and in the one around it: each with the folder whose
 * record has it. */
export async function knownResults(root: string, below: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const folders = new Set([dirname(resolve(root)), ...below.flatMap((path) => foldersOf(resolve(root), path))]);
  const known = new Map<string, string>();
  for (const folder of folders)
    for (const { result } of await recordOf(folder)) known.set(resolve(folder, result), folder);
  return known;
}

/** Whether a result of `rass segment` is a picture of labels, by its path below the folder of results. */
export const isMap = (below: string): boolean => below.startsWith(`labels${sep}`) || below.startsWith(`overlay${sep}`);
