import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { alignedBytes } from '@rass/kernels';
import { throwIfAborted, WeightsError } from '../error.ts';
import { type ByteSource, checkRange } from '../source/byte-source.ts';

// One read(2) moves at most 2 GiB - 4 KiB.
const MAX_READ_BYTES = 1 << 30;

async function readFully(file: FileHandle, name: string, bytes: Uint8Array, position: number, signal?: AbortSignal) {
  let done = 0;
  while (done < bytes.byteLength) {
    throwIfAborted(signal);
    const length = Math.min(MAX_READ_BYTES, bytes.byteLength - done);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0) {
      throw new WeightsError(
        'SourceChanged',
        `${name}: the file does not shrink while it is read; got ${done} of ${bytes.byteLength} bytes at ${position}`,
      );
    }
    done += bytesRead;
  }
}

/** A source over a file, opened once and read by position. @throws WeightsError `CannotOpen` */
export async function fileSource(path: string): Promise<ByteSource> {
  let file: FileHandle;
  try {
    // Without waiting: a pipe would wait for a writer.
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WeightsError('CannotOpen', `${path}: the file can be read; got "${reason}"`, { cause });
  }
  const status = await file.stat();
  if (!status.isFile()) {
    await file.close();
    throw new WeightsError(
      'CannotOpen',
      `${path}: a checkpoint is a file; got something else, such as a folder or a pipe`,
    );
  }
  let closed = false;
  const check = (start: number, end: number, signal?: AbortSignal) => {
    throwIfAborted(signal);
    if (closed) throw new WeightsError('Closed', `${path}: a closed file is not read; open it again`);
    checkRange(path, status.size, start, end);
  };
  return {
    name: path,
    size: status.size,
    async read(start, end, signal) {
      check(start, end, signal);
      const bytes = alignedBytes(end - start);
      await readFully(file, path, bytes, start, signal);
      return bytes;
    },
    async readInto(start, into, signal) {
      check(start, start + into.byteLength, signal);
      await readFully(file, path, into, start, signal);
    },
    async close() {
      if (closed) return;
      closed = true;
      await file.close();
    },
  };
}
