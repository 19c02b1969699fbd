import { WeightsError } from '../error.ts';

/** Where a file is written: by position, and visible only once it is whole. */
export interface ByteSink {
  readonly name: string;
  writeAt(position: number, bytes: Uint8Array): Promise<void>;
  /** Makes the whole file visible, on disk for good. */
  commit(): Promise<void>;
  /** Leaves nothing behind, and what was there before untouched. */
  abort(): Promise<void>;
}

/** A sink into memory. `bytes()` gives the file once it is committed. */
export interface MemorySink extends ByteSink {
  bytes(): Uint8Array<ArrayBuffer>;
}

/** A sink that grows in memory, for browsers and tests. */
export function memorySink(name = 'memory'): MemorySink {
  let buffer = new Uint8Array(1024);
  let length = 0;
  let committed = false;
  return {
    name,
    async writeAt(position, bytes) {
      const end = position + bytes.byteLength;
      if (end > buffer.byteLength) {
        const grown = new Uint8Array(Math.max(end, 2 * buffer.byteLength));
        grown.set(buffer.subarray(0, length));
        buffer = grown;
      }
      buffer.set(bytes, position);
      length = Math.max(length, end);
    },
    async commit() {
      committed = true;
    },
    async abort() {
      buffer = new Uint8Array(0);
      length = 0;
    },
    bytes() {
      if (committed) return buffer.slice(0, length);
      throw new WeightsError('NotCommitted', `${name}: bytes are there once the writer has finished; it has not`);
    },
  };
}
