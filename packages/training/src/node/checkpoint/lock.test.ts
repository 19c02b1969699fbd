import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LOCK_FILE, lockFolder } from './lock.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = () => join(folder, LOCK_FILE);
const readLock = () => JSON.parse(readFileSync(file(), 'utf8'));
const writeLock = (changes: object) => writeFileSync(file(), JSON.stringify({ ...readLock(), ...changes }));

const MODULE = JSON.stringify(new URL('./lock.ts', import.meta.url).href);
const HOLD = `
  import { lockFolder } from ${MODULE};
  try {
    await lockFolder(process.argv[1]);
    console.log('locked');
    setInterval(() => {}, 1000);
  } catch (error) {
    console.log(error.message);
  }`;

/** Another process that takes the lock and keeps it; what it says first. */
async function other(): Promise<{ said: string; pid: number; kill: () => Promise<void> }> {
  const child = spawn(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    '--input-type=module',
    '-e',
    HOLD,
    folder,
  ]);
  const exited = once(child, 'exit');
  const [said] = await once(child.stdout, 'data');
  return {
    said: String(said).trim(),
    pid: child.pid ?? 0,
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

it('one process at a time has a folder, and the other is told which', async () => {
  const lock = await lockFolder(folder);
  const second = await other();
  expect(second.said).toMatch(
    `checkpoints: one process at a time trains into ${folder}; got process ${process.pid} on ${hostname()}, since 20`,
  );
  expect(second.said).toMatch(`; stop it, choose another folder, or remove ${LOCK_FILE} if it is gone`);
  await second.kill();
  await lock.check();
  await lock.release();
  expect(readdirSync(folder)).toEqual([]);
  const third = await other();
  expect(third.said).toBe('locked');
  await expect(lockFolder(folder)).rejects.toThrow(`got process ${third.pid} on`);
  await third.kill();
});

it('the lock of a process that was killed is taken over', async () => {
  const killed = await other();
  await killed.kill();
  expect(readLock().pid).toBe(killed.pid);
  const lock = await lockFolder(folder);
  expect(readLock().pid).toBe(process.pid);
  await lock.release();
  expect(readdirSync(folder)).toEqual([]);
});

it.skipIf(!existsSync('/proc/self/stat'))('a process number that was used again does not hold a lock', async () => {
  const before = await lockFolder(folder);
  writeLock({ started: 'another boot/123' });
  const lock = await lockFolder(folder);
  await lock.check();
  await before.release();
  await lock.check();
  await lock.release();
});

it('another machine has its lock until it was silent for long', async () => {
  const first = await lockFolder(folder);
  writeLock({ host: 'elsewhere' });
  await expect(lockFolder(folder)).rejects.toThrow('on elsewhere, since');
  const long = new Date(Date.now() - 16 * 60_000);
  utimesSync(file(), long, long);
  const lock = await lockFolder(folder);
  expect(readLock().host).toBe(hostname());
  await expect(first.check()).rejects.toThrow(
    `checkpoints: ${file()} is this process's until it is closed; got the lock of process ${process.pid} on ${hostname()}, since`,
  );
  await lock.release();
  await expect(lock.check()).rejects.toThrow('got no lock; stop one of the two');
});

it('of many that find a dead lock at once one gets the folder', async () => {
  for (let round = 0; round < 10; round++) {
    const dead = await lockFolder(folder);
    writeLock({ pid: 2 ** 30, token: 'dead' });
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
    const won = tries.filter((each) => each.status === 'fulfilled');
    const holders = await Promise.allSettled(won.map(({ value }) => value.check()));
    expect(holders.filter(({ status }) => status === 'fulfilled').length, `round ${round}`).toBe(1);
    for (const { value } of won) await value.release();
    await dead.release();
    expect(readdirSync(folder), 'nothing is left').toEqual([]);
  }
});

it.each(['', '{"pid": 1', 'null', '[]'])(
  'a lock without a whole text, %j, is left of a full disk or a power cut',
  async (text) => {
    writeFileSync(file(), text);
    const lock = await lockFolder(folder);
    expect(readLock().pid).toBe(process.pid);
    await lock.release();
    expect(readdirSync(folder)).toEqual([]);
  },
);

it('a lock whose text comes late is its process’s', async () => {
  writeFileSync(file(), '');
  const holder = { pid: process.pid, host: hostname(), since: '20', token: 'late' };
  setTimeout(() => writeFileSync(file(), JSON.stringify(holder)), 500);
  await expect(lockFolder(folder)).rejects.toThrow(`got process ${process.pid} on ${hostname()}`);
});
