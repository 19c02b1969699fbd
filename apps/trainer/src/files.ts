import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

const besideOf = (path: string): string => `${path}.${randomBytes(4).toString('hex')}.tmp`;

/** Writes a file under another name beside its place and renames it, so that it is there whole or as it was. */
export async function writeBeside(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = besideOf(path);
  try {
    await write(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Makes a folder under another name beside its place, and puts it there when it is whole. What was there is gone then. */
export async function makeFolderBeside(path: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = besideOf(path);
  try {
    await mkdir(temporary);
    await fill(temporary);
    await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}
