import { createHash } from 'node:crypto';
import { lstat, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** What is not touched for so long belongs to nobody: a process of another machine, or container, may share the folder. */
const IDLE_MS = 60_000;

/** The longest name of a file there is, and what a hidden one has beside the result's: dots, a process, an id and a kind. */
const NAME_BYTES = 255;
const OWN_BYTES = '..4294967295-01234567.tmp'.length;
/** What stands in a hidden name for a result's that leaves no room for that. */
const hashOf = (name: string): string => `~${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;

/** A hidden name beside a result, of what is being written or is about to be replaced. */
export function hiddenName(path: string, id: string, kind: 'tmp' | 'old'): string {
  const name = basename(path);
  const stem = Buffer.byteLength(name) > NAME_BYTES - OWN_BYTES ? hashOf(name) : name;
  return join(dirname(path), `.${stem}.${process.pid}-${id}.${kind}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When a file, or anything in a folder and the folders in it, was last written to. */
async function touchedAt(path: string): Promise<number> {
  const status = await lstat(path);
  if (!status.isDirectory()) return status.mtimeMs;
  const times = await Promise.all((await readdir(path)).map((name) => touchedAt(join(path, name))));
  return times.reduce((last, time) => Math.max(last, time), status.mtimeMs);
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const HIDDEN = /^\.(.+)\.(\d+)-[0-9a-f]{8}\.(tmp|old)$/s;

/** The names in a folder of what processes write, or have left. */
export async function hiddenIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => HIDDEN.test(name));
}

/** Whether a leftover is gone from where it lay: to its place, or altogether. */
async function isSwept(left: string, kind: string | undefined, path: string): Promise<boolean> {
  try {
    if (kind === 'old' && !(await exists(path))) await rename(left, path);
    else if (Date.now() - (await touchedAt(left)) >= IDLE_MS) await rm(left, { recursive: true, force: true });
    else return false;
    return true;
  } catch (error) {
    // Somebody else has swept it, or works in it.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Clears away what processes that were killed have left beside a result, and brings back a result that one had moved aside and not
 * replaced yet. What a living process writes, or another machine may be writing, stays. Returns the names that are gone. A folder that
 * takes many results is listed once, by hiddenIn. */
export async function sweepLeftovers(path: string, hidden?: readonly string[]): Promise<string[]> {
  const stems = [basename(path), hashOf(basename(path))];
  const gone: string[] = [];
  for (const name of hidden ?? (await hiddenIn(dirname(path)))) {
    const [, stem = '', pid, kind] = HIDDEN.exec(name) ?? [];
    if (!stems.includes(stem) || isAlive(Number(pid))) continue;
    if (await isSwept(join(dirname(path), name), kind, path)) gone.push(name);
  }
  return gone;
}
