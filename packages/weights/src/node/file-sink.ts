import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { WeightsError } from '../error.ts';
import type { ByteSink } from '../sink/byte-sink.ts';

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    // One write(2) moves at most 2 GiB - 4 KiB, and may move less.
    const length = Math.min(1 << 30, bytes.byteLength - done);
    const { bytesWritten } = await file.write(bytes, done, length, position + done);
    done += bytesWritten;
  }
}

/** Makes a rename last through a power cut; file systems that cannot sync a folder need no such thing. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r');
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!['EISDIR', 'EPERM', 'EINVAL', 'EACCES', 'ENOTSUP'].includes(code)) throw error;
  }
}

/** A file that appears whole or not at all: written beside its place, synced, then renamed over it.
 * @throws WeightsError `CannotWrite` */
export async function fileSink(path: string): Promise<ByteSink> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
  let file: FileHandle;
  try {
    file = await open(temporary, 'wx');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WeightsError('CannotWrite', `${path}: its folder can be written to; got "${reason}"`, { cause });
  }
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await file.close();
  };
  return {
    name: path,
    async writeAt(position, bytes) {
      try {
        await writeFully(file, bytes, position);
      } catch (cause) {
        // The system's words name no path: a full disk.
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new WeightsError('CannotWrite', `${path}: its disk takes what is written; got "${reason}"`, { cause });
      }
    },
    async commit() {
      try {
        await file.sync();
        await close();
        await rename(temporary, path);
      } catch (cause) {
        await close();
        await unlink(temporary).catch(() => {});
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new WeightsError('CannotWrite', `${path}: the finished file takes its place; got "${reason}"`, { cause });
      }
      await syncFolder(folder);
    },
    async abort() {
      await close();
      await unlink(temporary).catch((error) => {
        if (error.code !== 'ENOENT') throw error;
      });
    },
  };
}
