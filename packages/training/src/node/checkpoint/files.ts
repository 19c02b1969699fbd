import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { ByteSink } from '@rass/weights';

/** A file's length and SHA-256 in hexadecimal digits. */
export interface FileMark {
  readonly bytes: number;
  readonly sha256: string;
}

const CHUNK_BYTES = 4 << 20;

/** Reads a file once, in pieces. */
export async function markOf(path: string): Promise<FileMark> {
  const file = await open(path, 'r');
  try {
    const hash = createHash('sha256');
    const chunk = new Uint8Array(CHUNK_BYTES);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, bytes);
      if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') };
      hash.update(chunk.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** A sink that marks what passes through it, from the first byte to the last. */
export function markedSink(sink: ByteSink): { sink: ByteSink; mark(): FileMark } {
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    sink: {
      name: sink.name,
      async writeAt(position, data) {
        if (position !== bytes) {
          throw new Error(`checkpoint: ${sink.name} is written forwards; got byte ${position} where ${bytes} is next`);
        }
        hash.update(data);
        bytes += data.byteLength;
        await sink.writeAt(position, data);
      },
      commit: () => sink.commit(),
      abort: () => sink.abort(),
    },
    mark: () => ({ bytes, sha256: hash.digest('hex') }),
  };
}

/** Writes a new file and brings it to the disk. */
export async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (cause) {
    throw new Error(`checkpoint: ${path}: its disk takes what is written; got "${(cause as Error).message}"`, {
      cause,
    });
  } finally {
    await file.close();
  }
}

/** Makes the names in a folder last through a power cut; file systems that cannot sync a folder need no such thing. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined);
  await folder?.sync().catch((error: NodeJS.ErrnoException) => {
    if (!['EISDIR', 'EPERM', 'EINVAL', 'EACCES', 'ENOTSUP'].includes(error.code ?? '')) throw error;
  });
  await folder?.close();
}
