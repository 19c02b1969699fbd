import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeOnBackends } from '@rass/testkit';
import { dispose, fill, tidy, type Variable, variable } from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Checkpoints, openCheckpoints } from './checkpoints.ts';
import { LOCK_FILE } from './lock.ts';
import { latestCheckpoint } from './scan.ts';

/** The call of the file system, counted from 1, at which something happens: the process stops for good, or the disk is
 * full. */
const fault = vi.hoisted(() => ({
  at: Number.POSITIVE_INFINITY,
  calls: 0,
  kind: 'stop' as 'stop' | 'full',
  closers: [] as (() => Promise<void>)[],
}));

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>();
  const full = () => Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  type Call = (...args: never[]) => Promise<unknown>;
  const guarded =
    (call: Call): Call =>
    (...args) => {
      fault.calls += 1;
      if (fault.calls !== fault.at) return call(...args);
      if (fault.kind === 'full') return Promise.reject(full());
      // As of a process that was killed: nothing that waits for this call runs ever again.
      return new Promise(() => {});
    };
  const open = async (...args: Parameters<typeof real.open>) => {
    const file = await real.open(...args);
    fault.closers.push(() => file.close());
    return new Proxy(file, {
      get(target, name) {
        const value = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        const bound = value.bind(target);
        return ['write', 'writeFile', 'sync'].includes(String(name)) ? guarded(bound) : bound;
      },
    });
  };
  const { mkdir, rename, rm, unlink } = real;
  const calls = Object.entries({ mkdir, rename, rm, unlink, open }).map(([name, call]) => [
    name,
    guarded(call as Call),
  ]);
  return { ...real, ...Object.fromEntries(calls) };
});

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-faults-'));
});
afterEach(() => {
  fault.at = Number.POSITIVE_INFINITY;
  rmSync(folder, { recursive: true });
});

const recipe = { model: 'tiny' };
const filled = (value: number): Record<string, Variable> =>
  tidy(() => ({ a: variable(fill([3, 4], value)), b: variable(fill([2], value)) }));

async function save(checkpoints: Checkpoints, step: number): Promise<void> {
  const parts = { parameters: filled(step), average: filled(step) };
  await checkpoints.save({ step, parts, recipe }).finally(() => dispose([parts.parameters, parts.average]));
}

/** Resumes in a folder that a dead process has left, and tells which step all numbers are of. */
async function resumedStep(): Promise<number> {
  rmSync(join(folder, LOCK_FILE), { force: true });
  const checkpoints = await openCheckpoints(folder);
  const parts = { parameters: filled(-1), average: filled(-1) };
  const resumed = await checkpoints.resume(parts, { recipe });
  await checkpoints.close();
  for (const each of [...Object.values(parts.parameters), ...Object.values(parts.average)]) {
    expect(new Set(await each.data())).toEqual(new Set([resumed?.step]));
  }
  expect(resumed?.broken).toEqual([]);
  dispose([parts.parameters, parts.average]);
  return resumed?.step ?? 0;
}

/** Starts with step 1, and saves step 2, or step 1 again, with a fault at each call of the file system in turn. */
async function atEachCall(step: number, then: (saving: Promise<void>, call: number) => Promise<void>): Promise<number> {
  const start = mkdtempSync(join(tmpdir(), 'rass-faults-start-'));
  const first = await openCheckpoints(folder);
  await save(first, 1);
  await first.close();
  cpSync(folder, start, { recursive: true });
  try {
    for (let call = 1; ; call++) {
      rmSync(folder, { recursive: true });
      cpSync(start, folder, { recursive: true });
      const checkpoints = await openCheckpoints(folder, { keepLast: 1 });
      Object.assign(fault, { at: call, calls: 0 });
      const saving = save(checkpoints, step);
      let isOver = false;
      const end = () => {
        isOver = true;
      };
      saving.then(end, end);
      await vi.waitUntil(() => isOver || fault.calls >= call, { interval: 1 });
      // The save was over before the fault: every call has had its turn.
      if (fault.calls < call) return call - 1;
      await then(saving, call);
      expect(readdirSync(folder).filter((name) => !/^step-\d+$/.test(name))).toEqual([]);
      // What a process has open is closed by its end; here nobody does it.
      await Promise.allSettled(fault.closers.splice(0).map((close) => close()));
    }
  } finally {
    rmSync(start, { recursive: true });
  }
}

describeOnBackends('a save at whose every call', () => {
  it.each([
    ['a new step', 2],
    ['the same step again', 1],
  ])('the process stops leaves the old checkpoint or the new one: %s', async (_, step) => {
    fault.kind = 'stop';
    const seen = new Set<number>();
    const calls = await atEachCall(step, async () => {
      fault.at = Number.POSITIVE_INFINITY;
      seen.add(await resumedStep());
    });
    expect(calls).toBeGreaterThan(25);
    expect([...seen]).toEqual(step === 1 ? [1] : [1, 2]);
  });

  it('the disk is full says so, leaves a whole checkpoint, and can be tried again', async () => {
    fault.kind = 'full';
    let refused = 0;
    await atEachCall(2, async (saving) => {
      const error = await saving.then(
        () => undefined,
        (reason: Error) => reason,
      );
      fault.at = Number.POSITIVE_INFINITY;
      if (error !== undefined) {
        refused += 1;
        expect(error.message).toContain('ENOSPC: no space left on device');
        expect((await latestCheckpoint(folder)).broken).toEqual([]);
      }
      await resumedStep();
      const again = await openCheckpoints(folder, { keepLast: 1 });
      await save(again, 2);
      await again.close();
      expect(await resumedStep()).toBe(2);
    });
    expect(refused).toBeGreaterThan(20);
  });
}, ['cpu']);
