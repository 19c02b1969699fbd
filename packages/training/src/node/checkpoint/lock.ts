import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The lock file's name in a folder of checkpoints. */
export const LOCK_FILE = 'training.lock';

/** A lock of another machine that was not touched for so long belongs to nobody; steps that keep a process busy may be
 * long. */
const STALE_MS = 15 * 60_000;
const HEARTBEAT_MS = 60_000;
const ATTEMPTS = 20;

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, where the system tells: process numbers are used again. */
  readonly started?: string;
  readonly since: string;
  readonly token: string;
}

/** The right to write into a folder. */
export interface FolderLock {
  /** @throws when another process has taken the lock over */
  check(): Promise<void>;
  release(): Promise<void>;
}

/** The boot and the moment in it at which a process began; undefined where there is no /proc. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const status = await readFile(`/proc/${pid}/stat`, 'utf8');
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    // The 22nd field; the second one, a name in brackets, may hold spaces.
    return `${boot.trim()}/${status.slice(status.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return undefined;
  }
}

/** A lock without a text: of a full disk, a power cut, or a process that is about to write it. */
const NOBODY: Holder = { pid: 0, host: 'unknown', since: 'unknown', token: '' };
const UNWRITTEN_MS = 2000;

async function readHolder(path: string): Promise<Holder | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const holder = JSON.parse(text) as Holder | null;
    return typeof holder?.pid === 'number' ? holder : NOBODY;
  } catch {
    return NOBODY;
  }
}

async function isDead(path: string, holder: Holder): Promise<boolean> {
  const { pid, host, started } = holder;
  if (holder === NOBODY) {
    await sleep(UNWRITTEN_MS);
    return (await readHolder(path)) === NOBODY;
  }
  if (host !== hostname()) {
    const touched = await stat(path).catch(() => undefined);
    return touched !== undefined && Date.now() - touched.mtimeMs > STALE_MS;
  }
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return true;
  }
  return started !== undefined && (await startOf(pid)) !== started;
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

/** Puts a file under a name that nobody has, whole from the first moment. Returns whether it was free. */
async function claim(path: string, from: string, text: string): Promise<boolean> {
  try {
    await link(from, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
  }
  // A file system without links: another process may see the file before it has its text, and waits for it then.
  try {
    await writeFile(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Takes a dead process's lock away. Two may try at once: what the later one has moved is then a living lock, and put
 * back. */
async function removeStale(path: string, dead: Holder, token: string): Promise<void> {
  const aside = `${path}.${token}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  const moved = await readHolder(aside);
  if (moved !== undefined && moved.token !== dead.token) await claim(path, aside, JSON.stringify(moved));
  await rm(aside, { force: true });
}

const nameOf = ({ pid, host, since }: Holder): string => `process ${pid} on ${host}, since ${since}`;

function held(path: string, own: Holder): FolderLock {
  const beat = setInterval(() => {
    const now = new Date();
    // A lock that is gone is found by the next check.
    utimes(path, now, now).catch(() => {});
  }, HEARTBEAT_MS);
  beat.unref();
  const check = async (): Promise<void> => {
    let holder = await readHolder(path);
    // Another process that found a dead one's lock may have moved this one aside, and puts it back.
    for (let i = 0; i < 10 && holder === undefined; i++) {
      await sleep(20);
      holder = await readHolder(path);
    }
    if (holder?.token === own.token) return;
    const got = holder === undefined ? 'no lock' : `the lock of ${nameOf(holder)}`;
    throw new Error(`checkpoints: ${path} is this process's until it is closed; got ${got}; stop one of the two`);
  };
  return {
    check,
    async release() {
      clearInterval(beat);
      if ((await readHolder(path))?.token === own.token) await unlink(path);
    },
  };
}

/** Makes this process the only one that writes into a folder. The lock of a process that is dead is taken over.
 * @throws naming the process that has the folder */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, LOCK_FILE);
  const token = randomBytes(8).toString('hex');
  const started = await startOf(process.pid);
  const own: Holder = { pid: process.pid, host: hostname(), started, since: new Date().toISOString(), token };
  const text = JSON.stringify(own);
  const draft = `${path}.${token}.draft`;
  await writeFile(draft, text);
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (await claim(path, draft, text)) return held(path, own);
      const holder = await readHolder(path);
      if (holder === undefined) continue;
      if (!(await isDead(path, holder))) {
        // Its text came meanwhile.
        if (holder === NOBODY) continue;
        throw new Error(
          `checkpoints: one process at a time trains into ${folder}; got ${nameOf(holder)}; stop it, ` +
            `choose another folder, or remove ${LOCK_FILE} if it is gone`,
        );
      }
      await removeStale(path, holder, token);
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw new Error(`checkpoints: ${folder} is locked in a few attempts; got ${ATTEMPTS} in vain; try again`);
}

/** What is being made into a lock, or was one, and was not touched for so long is left of a killed process. */
const LEFTOVER_MS = 60_000;

/** Whether a file was left by a process that was killed while it locked the folder. */
export async function isLockLeftover(folder: string, name: string): Promise<boolean> {
  if (!name.startsWith(`${LOCK_FILE}.`)) return false;
  const touched = await stat(join(folder, name)).catch(() => undefined);
  return touched !== undefined && Date.now() - touched.mtimeMs > LEFTOVER_MS;
}
