import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readState, type SavedCheckpoint, stepOf, verifyFiles } from './state-file.ts';

/** A checkpoint that is not as it was written, and what is wrong with it. */
export interface BrokenCheckpoint {
  readonly path: string;
  readonly step: number;
  readonly reason: string;
}

/** The checkpoint folders, the newest step first; none where there is no such folder. */
async function stepFolders(folder: string): Promise<{ path: string; step: number }[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .flatMap((name) => {
      const step = stepOf(name);
      return step === undefined ? [] : [{ path: join(folder, name), step }];
    })
    .sort((a, b) => b.step - a.step);
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The checkpoints of a folder, the newest first, by what they say of themselves: names and lengths of their files are
 * compared, contents are not. */
export async function listCheckpoints(
  folder: string,
): Promise<{ saved: SavedCheckpoint[]; broken: BrokenCheckpoint[] }> {
  const saved: SavedCheckpoint[] = [];
  const broken: BrokenCheckpoint[] = [];
  for (const { path, step } of await stepFolders(folder)) {
    try {
      saved.push(await readState(path));
    } catch (error) {
      broken.push({ path, step, reason: reasonOf(error) });
    }
  }
  return { saved, broken };
}

/** The newest checkpoint whose every file is as it was written, and the newer ones that are not. Nothing but the
 * folders themselves says which is the newest. */
export async function latestCheckpoint(
  folder: string,
): Promise<{ latest?: SavedCheckpoint; broken: BrokenCheckpoint[] }> {
  const broken: BrokenCheckpoint[] = [];
  for (const { path, step } of await stepFolders(folder)) {
    try {
      const saved = await readState(path);
      await verifyFiles(saved);
      return { latest: saved, broken };
    } catch (error) {
      broken.push({ path, step, reason: reasonOf(error) });
    }
  }
  return { broken };
}
