import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** What is not touched for so long belongs to nobody: a process of another machine, or container, may share the folder. */
const IDLE_MS = 60_000;

/** A hidden name beside a result, of what is being written or is about to be replaced. */
export function hiddenName(path: string, id: string, kind: 'tmp' | 'old'): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}-${id}.${kind}`);
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When a file, or any file of a folder, was last written to. */
async function touchedAt(path: string): Promise<number> {
  const status = await stat(path);
  if (!status.isDirectory()) return status.mtimeMs;
  const names = await readdir(path);
  const times = await Promise.all(names.map((name) => stat(join(path, name)).then(({ mtimeMs }) => mtimeMs)));
  return Math.max(status.mtimeMs, ...times);
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Clears away what processes that were killed have left beside a result, and brings back a result that one had moved aside and not
 * replaced yet. What a living process writes, or another machine may be writing, stays. Returns the names that are gone. */
export async function sweepLeftovers(path: string): Promise<string[]> {
  const pattern = new RegExp(`^\\.${escaped(basename(path))}\\.(\\d+)-[0-9a-f]{8}\\.(tmp|old)$`);
  const names = await readdir(dirname(path)).catch(() => []);
  const gone: string[] = [];
  for (const name of names) {
    const [, pid, kind] = pattern.exec(name) ?? [];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const left = join(dirname(path), name);
    if (kind === 'old' && !(await exists(path))) await rename(left, path);
    else if (Date.now() - (await touchedAt(left)) >= IDLE_MS) await rm(left, { recursive: true, force: true });
    else continue;
    gone.push(name);
  }
  return gone;
}
