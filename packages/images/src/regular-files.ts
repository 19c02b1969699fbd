import { constants, type Dirent } from 'node:fs';
import { open, readdir } from 'node:fs/promises';

/** The bytes of a regular file. A pipe would wait for a writer, and a device may have no end. @throws when it is none */
export async function readRegularFile(path: string): Promise<Uint8Array> {
  // Opened without waiting, and looked at while open: what a path is may change.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const entry = await file.stat();
    if (entry.isFile()) return await file.readFile();
    const got = entry.isDirectory() ? 'a folder' : 'a pipe or a device';
    throw new Error(`${path}: an image is a file; got ${got}; leave it out`);
  } finally {
    await file.close();
  }
}

/** The entries of a folder, in the order of their names. One that cannot be read is given to `onUnreadable`, where there is that.
 * @throws when it cannot be read, with its path */
export async function readFolder(path: string, onUnreadable?: (line: string) => void): Promise<Dirent[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const line = `${path}: a folder can be read; got ${code ?? error}; let it be read, or leave it out`;
    if (onUnreadable === undefined) throw new Error(line, { cause: error });
    onUnreadable(line);
    return [];
  }
}
