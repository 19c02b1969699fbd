import { Worker } from 'node:worker_threads';

/** A file's SHA-256, in hexadecimal digits. */
export interface FileHash {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Hashing that is under way. */
export interface Hashing {
  /** In the order of the files. */
  readonly done: Promise<readonly FileHash[]>;
  stop(): Promise<void>;
}

// From the sources the worker is a TypeScript file, published it is not.
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

/** Hashes files in a thread of its own, until the signal stops it. */
export function startHashing(paths: readonly string[], signal?: AbortSignal): Hashing {
  // Not with the program's own flags: some, such as --input-type, are refused here.
  const options = { workerData: paths, execArgv: [] };
  const worker = new Worker(new URL(`./hash-worker.${extension}`, import.meta.url), options);
  const done = new Promise<readonly FileHash[]>((resolve, reject) => {
    const hashes: FileHash[] = [];
    worker.on('message', (hash: FileHash) => hashes.push(hash));
    worker.on('error', reject);
    worker.on('exit', () => {
      if (hashes.length === paths.length) resolve(hashes);
      else reject(new Error(`merge: every file is hashed; got ${hashes.length} of ${paths.length}; it was stopped`));
    });
  });
  // It is awaited at the end, unless merging fails before.
  done.catch(() => {});
  const stop = async (): Promise<void> => {
    await worker.terminate();
  };
  signal?.addEventListener('abort', stop, { once: true });
  return {
    done,
    async stop() {
      signal?.removeEventListener('abort', stop);
      await stop();
    },
  };
}
