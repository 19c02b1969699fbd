import { throwIfAborted, WeightsError } from '../error.ts';

/** Bytes that can be read by range: a file, a Blob, a URL or memory. */
export interface ByteSource {
  /** For messages: a path, a URL or what the caller called it. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Exactly the bytes [start, end) in a new array, at a multiple of 8 of its buffer. @throws when the range is outside */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  /** Fills an array with the bytes from `start` on, where the source can without one of its own. @throws like read */
  readInto?(start: number, into: Uint8Array<ArrayBuffer>, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Checks a range against a source's size. @throws WeightsError `RangeOutside` */
export function checkRange(name: string, size: number, start: number, end: number): void {
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= size) return;
  throw new WeightsError('RangeOutside', `${name}: a range lies inside the ${size} bytes; got ${start} to ${end}`);
}

/** Fills an array with a source's bytes from `start` on, by way of a second array where the source knows no other. */
export async function readInto(
  source: ByteSource,
  start: number,
  into: Uint8Array<ArrayBuffer>,
  signal?: AbortSignal,
): Promise<void> {
  if (source.readInto !== undefined) await source.readInto(start, into, signal);
  else into.set(await source.read(start, start + into.byteLength, signal));
}

/** A source over bytes in memory; they are not copied until read. */
export function bufferSource(data: ArrayBuffer | Uint8Array, name = 'buffer'): ByteSource {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  return {
    name,
    size: bytes.byteLength,
    async read(start, end, signal) {
      throwIfAborted(signal);
      checkRange(name, bytes.byteLength, start, end);
      // Not slice(): a Node Buffer's shares its memory.
      return new Uint8Array(bytes.subarray(start, end));
    },
    close: async () => {},
  };
}

/** A source over a Blob or a File, which the browser may keep on disk. */
export function blobSource(blob: Blob, name?: string): ByteSource {
  const label = name ?? ('name' in blob && typeof blob.name === 'string' ? blob.name : 'blob');
  return {
    name: label,
    size: blob.size,
    async read(start, end, signal) {
      throwIfAborted(signal);
      checkRange(label, blob.size, start, end);
      const bytes = new Uint8Array(await blob.slice(start, end).arrayBuffer());
      throwIfAborted(signal);
      if (bytes.byteLength !== end - start) {
        throw new WeightsError(
          'SourceChanged',
          `${label}: a Blob does not change while it is read; got ${bytes.byteLength} of ${end - start} bytes`,
        );
      }
      return bytes;
    },
    close: async () => {},
  };
}

/** A part of another source as a source of its own, from byte `start`. Closing it leaves the other open. */
export function sliceSource(source: ByteSource, start: number, end: number, name = source.name): ByteSource {
  checkRange(source.name, source.size, start, end);
  return {
    name,
    size: end - start,
    async read(from, to, signal) {
      checkRange(name, end - start, from, to);
      return source.read(start + from, start + to, signal);
    },
    async readInto(from, into, signal) {
      checkRange(name, end - start, from, from + into.byteLength);
      await readInto(source, start + from, into, signal);
    },
    close: async () => {},
  };
}
