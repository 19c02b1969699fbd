// Hashes files beside the merge, and posts each file's SHA-256 when it is done.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const CHUNK_BYTES = 4 << 20;

const chunk = new Uint8Array(CHUNK_BYTES);

function sha256(path: string): { bytes: number; sha256: string } {
  const file = openSync(path, 'r');
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    for (;;) {
      const count = readSync(file, chunk, 0, CHUNK_BYTES, bytes);
      if (count === 0) break;
      hash.update(count === CHUNK_BYTES ? chunk : chunk.subarray(0, count));
      bytes += count;
    }
    if (bytes !== fstatSync(file).size)
      throw new Error(`merge: ${path}: a file does not change while it is read; got ${bytes} bytes`);
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    closeSync(file);
  }
}

for (const path of workerData as readonly string[]) parentPort?.postMessage({ path, ...sha256(path) });
