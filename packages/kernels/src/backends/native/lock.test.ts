import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withLock } from './lock.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-lock-'));
  file = join(folder, 'cache', '.lock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('withLock', () => {
  it('lets one work at a time, and tells the other whom it waits for', async () => {
    const events: string[] = [];
    const work = (name: string) => async () => {
      events.push(`${name} starts`);
      await sleep(300);
      events.push(`${name} ends`);
    };
    const first = withLock(file, work('first'));
    await sleep(20);
    const waited: (number | undefined)[] = [];
    await Promise.all([first, withLock(file, work('second'), { onWait: (pid) => waited.push(pid) })]);
    expect(events).toEqual(['first starts', 'first ends', 'second starts', 'second ends']);
    expect(waited).toEqual([process.pid]);
    expect(existsSync(file)).toBe(false);
  });

  it('is free again after work that failed', async () => {
    await expect(withLock(file, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await withLock(file, async () => 'done')).toBe('done');
  });

  it('takes over from a process that is gone, or that has not touched it for long', async () => {
    await withLock(file, async () => {});
    // No process has the largest number that Linux gives out on 64-bit machines.
    writeFileSync(file, JSON.stringify({ pid: 4194304, host: hostname() }));
    expect(await withLock(file, async () => 'done')).toBe('done');
    writeFileSync(file, JSON.stringify({ pid: 1, host: 'another-machine' }));
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(file, longAgo, longAgo);
    expect(await withLock(file, async () => 'done')).toBe('done');
  });

  it('gives up after a while, naming the holder and the file', async () => {
    const holder = withLock(file, () => sleep(800));
    await sleep(20);
    await expect(withLock(file, async () => {}, { waitMs: 300 })).rejects.toThrow(
      new RegExp(
        `^backend install: one install at a time may use a cache; process ${process.pid} has held it for over 0 s; wait for it, or remove .*\\.lock$`,
      ),
    );
    await holder;
  });
});
