import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from './files.ts';
import type { JsonObject } from './json.ts';
import { type FolderLock, isLockLeftover, lockFolder } from './lock.ts';
import type { Parts } from './part.ts';
import { type ResumeOptions, restoreAll } from './restore.ts';
import { checkRetention, type Retention, stepsToKeep } from './retention.ts';
import { type BrokenCheckpoint, latestCheckpoint, listCheckpoints } from './scan.ts';
import { type SavedCheckpoint, stepName } from './state-file.ts';
import {
  freeSnapshot,
  hiddenKind,
  removeCheckpoint,
  snapshotOf,
  type TrainingState,
  writeCheckpoint,
} from './write-checkpoint.ts';

/** What a run that was resumed goes on from. */
export interface Resumed {
  readonly path: string;
  readonly step: number;
  readonly values: JsonObject;
  readonly metrics: SavedCheckpoint['metrics'];
  /** Newer ones that are not as they were written; they now have names that start with `broken-`. */
  readonly broken: readonly BrokenCheckpoint[];
}

/** The checkpoints of one run, which this process alone writes. */
export interface Checkpoints {
  readonly folder: string;
  /** What killed runs had left and is gone now. */
  readonly swept: readonly string[];
  /** Writes the state of the moment of the call, and when it is on disk removes those that need not stay. Training may
   * go on meanwhile; a second save may not begin. @throws when a newer checkpoint is there, or it cannot be written */
  save(state: TrainingState): Promise<{ readonly path: string; readonly removed: readonly number[] }>;
  /** Takes up the newest checkpoint that is whole; undefined where there is none at all.
   * @throws when all are broken, or it does not fit this run */
  resume(parts: Parts, options: ResumeOptions): Promise<Resumed | undefined>;
  /** Lets other processes write here. */
  close(): Promise<void>;
}

/** Clears away what a killed run was writing or removing, and brings back a checkpoint that it had moved aside and not
 * replaced yet. */
async function sweep(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  const swept: string[] = [];
  for (const name of names) {
    const hidden = hiddenKind(name);
    if (hidden === undefined && !(await isLockLeftover(folder, name))) continue;
    const path = join(folder, name);
    if (hidden?.kind === 'old' && !names.includes(hidden.visible)) await rename(path, join(folder, hidden.visible));
    else await rm(path, { recursive: true, force: true });
    swept.push(name);
  }
  return swept;
}

const namesOf = (all: readonly { step: number }[]): string => all.map(({ step }) => stepName(step)).join(', ');

/** Refuses to write before a newer checkpoint: the next start would take that one up. */
function checkNewest(folder: string, saved: readonly SavedCheckpoint[], step: number): void {
  const newer = saved.filter((each) => each.step > step);
  if (newer.length === 0) return;
  throw new Error(
    `checkpoints: in ${folder} a new checkpoint is the newest; got step ${step} beside ${namesOf(newer)}; ` +
      'resume from the newest, or move the newer ones away',
  );
}

async function setAside(folder: string, broken: readonly BrokenCheckpoint[]): Promise<void> {
  for (const { path, step } of broken) {
    await rename(path, join(folder, `broken-${stepName(step)}-${randomBytes(4).toString('hex')}`));
  }
  await syncFolder(folder);
}

async function resumeNewest(folder: string, parts: Parts, options: ResumeOptions): Promise<Resumed | undefined> {
  const { latest, broken } = await latestCheckpoint(folder);
  if (latest === undefined && broken.length === 0) return undefined;
  if (latest === undefined) {
    const reasons = broken.map(({ step, reason }) => `${stepName(step)}: ${reason}`).join('; ');
    throw new Error(
      `resume: ${folder} has a whole checkpoint; all are broken: ${reasons}; begin anew in another folder`,
    );
  }
  await restoreAll(latest, parts, options);
  await setAside(folder, broken);
  const { path, step, values, metrics } = latest;
  return { path, step, values, metrics, broken };
}

async function saveAndTidy(
  folder: string,
  lock: FolderLock,
  state: TrainingState,
  retention: Retention,
): Promise<{ path: string; removed: number[] }> {
  const snapshot = snapshotOf(state);
  try {
    await lock.check();
    checkNewest(folder, (await listCheckpoints(folder)).saved, state.step);
    const path = await writeCheckpoint(folder, snapshot);
    const { saved } = await listCheckpoints(folder);
    const kept = stepsToKeep(saved, retention);
    const removed = saved.map(({ step }) => step).filter((step) => !kept.has(step));
    for (const step of removed) await removeCheckpoint(folder, step);
    return { path, removed };
  } finally {
    freeSnapshot(snapshot);
  }
}

/** Opens the folder of a run's checkpoints, which is made where it is missing, clears away what killed runs have left,
 * and locks it: a second process is refused, the lock of a dead one taken over. @throws naming the process that writes
 * there */
export async function openCheckpoints(folder: string, retention: Retention = {}): Promise<Checkpoints> {
  checkRetention(retention);
  await mkdir(folder, { recursive: true });
  const lock = await lockFolder(folder);
  const swept = await sweep(folder).catch(async (error) => {
    await lock.release();
    throw error;
  });
  let busy: string | undefined;
  const alone = async <T>(act: string, run: () => Promise<T>): Promise<T> => {
    if (busy !== undefined)
      throw new Error(`checkpoints: ${act} begins when ${busy} is over; it is not; await it first`);
    busy = act;
    try {
      return await run();
    } finally {
      busy = undefined;
    }
  };
  return {
    folder,
    swept,
    save: (state) => alone('save', () => saveAndTidy(folder, lock, state, retention)),
    resume: (parts, options) => alone('resume', () => resumeNewest(folder, parts, options)),
    close: () => alone('close', () => lock.release()),
  };
}
