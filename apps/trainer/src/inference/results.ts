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

/** Results that cannot be written: no other image's can be, either. */
export class OutputError extends Error {
  override name = 'OutputError';
}

const outputError = (out: string, reason: string, cause?: unknown): OutputError =>
  new OutputError(`${out}: results are written there; got ${reason}; make room, or name another folder`, { cause });

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
  /** Writes an image's results, and records them first, so that none is ever taken for a photograph. @throws OutputError */
  write(files: readonly ResultFile[], of: string): Promise<void>;
}

/** Makes the folder of results, and tries whether it takes files. @throws OutputError when it does not */
export async function openResults(out: string): Promise<Results> {
  const trial = join(out, `.rass-${process.pid}.tmp`);
  const asOutput = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      throw outputError(out, systemsWords(error), error);
    }
  };
  await asOutput(async () => {
    await mkdir(out, { recursive: true });
    await writeFile(trial, 'x');
    await rm(trial);
  });
  const recorded = new Set((await recordOf(out)).map(({ result }) => result));
  return {
    write: (files, of) =>
      asOutput(async () => {
        const fresh = files.map(({ path }) => relative(out, path)).filter((result) => !recorded.has(result));
        const lines = fresh.map((result) => `${JSON.stringify({ result, of: resolve(of) })}\n`);
        await appendFile(join(out, RECORD), lines.join(''));
        for (const result of fresh) recorded.add(result);
        for (const { path, data } of files) await writeBeside(path, data);
      }),
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
