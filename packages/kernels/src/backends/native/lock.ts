import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackendError } from '../errors.ts';

/** The holder touches its lock this often; a lock untouched for STALE_MS belongs to nobody. */
const HEARTBEAT_MS = 5_000;
const STALE_MS = 30_000;

interface Holder {
  pid: number;
  host: string;
}

function readHolder(file: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Holder;
  } catch {
    return undefined;
  }
}

function isAlive(holder: Holder): boolean {
  if (holder.host !== hostname()) return true;
  try {
    process.kill(holder.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function isStale(file: string): boolean {
  try {
    const untouched = Date.now() - statSync(file).mtimeMs;
    const holder = readHolder(file);
    return untouched > STALE_MS || (holder !== undefined && !isAlive(holder));
  } catch {
    return false;
  }
}

function tryLock(file: string): boolean {
  try {
    const handle = openSync(file, 'wx');
    writeSync(handle, JSON.stringify({ pid: process.pid, host: hostname() } satisfies Holder));
    closeSync(handle);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
}

/** Runs `work` while holding a lock file, so that two installs into one cache follow each other.
 * @throws BackendError when another holder keeps it longer than `waitMs` */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  options: { waitMs?: number; onWait?: (pid: number | undefined) => void } = {},
): Promise<T> {
  const { waitMs = 30 * 60_000, onWait } = options;
  mkdirSync(dirname(file), { recursive: true });
  const start = Date.now();
  let told = false;
  while (!tryLock(file)) {
    if (isStale(file)) {
      rmSync(file, { force: true });
      continue;
    }
    if (!told) onWait?.(readHolder(file)?.pid);
    told = true;
    if (Date.now() - start > waitMs) {
      const holder = readHolder(file);
      throw new BackendError(
        'install-failed',
        `backend install: one install at a time may use a cache; process ${holder?.pid} has held it for over ${Math.round(waitMs / 1000)} s; wait for it, or remove ${file}`,
      );
    }
    await sleep(200);
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    try {
      utimesSync(file, now, now);
    } catch {
      // Removed by hand: the work goes on, and the removal below finds nothing.
    }
  }, HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    rmSync(file, { force: true });
  }
}
