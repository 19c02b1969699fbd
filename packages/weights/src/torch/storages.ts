import { bitsOf, type Dtype } from '../dtype/dtype.ts';
import { PickleError } from '../pickle/pickle-error.ts';
import type { TorchStorage } from '../pickle/values.ts';
import type { ByteSource } from '../source/byte-source.ts';
import type { ZipArchive } from './zip.ts';

/** Where a storage's bytes are. */
export interface StorageBytes {
  /** Undefined: untyped. */
  readonly dtype: Dtype | undefined;
  readonly byteLength: number;
  readonly bigEndian: boolean;
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

/** Finds the bytes of the storages that a pickle refers to. */
export type StorageFinder = (storage: TorchStorage) => StorageBytes | Promise<StorageBytes>;

/** The name and length of a storage that a file keeps under a key. */
export function keyOf(
  where: string,
  storage: TorchStorage,
): { key: string; byteLength: number; rootByteLength: number } {
  const { key, byteLength, rootByteLength } = storage;
  if (typeof key === 'string' && byteLength !== undefined && rootByteLength !== undefined) {
    return { key, byteLength, rootByteLength };
  }
  throw new PickleError('BadTensor', `${where}: a tensor's storage lies in the file; got one of another file`);
}

/** The storages of a zip file: `<folder>/data/<key>`. */
export function zipStorages(where: string, archive: ZipArchive, folder: string, bigEndian: boolean): StorageFinder {
  const open = new Map<string, Promise<ByteSource>>();
  return (storage) => {
    const { key, byteLength, rootByteLength } = keyOf(where, storage);
    const entry = `${folder}/data/${key}`;
    const size = archive.sizeOf(entry);
    if (size < rootByteLength) {
      const message = `${where}: a storage has the bytes of its elements; got ${size} of ${rootByteLength} in "${entry}"`;
      throw new PickleError('BadTensor', message);
    }
    return {
      dtype: storage.dtype,
      byteLength,
      bigEndian,
      async read(start, end, signal) {
        const source = open.get(entry) ?? archive.open(entry, undefined, signal);
        open.set(entry, source);
        // A reading that was given up is not the next one's.
        source.catch(() => open.delete(entry));
        return (await source).read(storage.byteOffset + start, storage.byteOffset + end, signal);
      },
    };
  };
}

const COUNT_BYTES = 8;

/** The storages of a file of the older kind: behind the pickles, in the order of `keys`, each after its length.
 * They are little-endian whatever the machine was. @throws PickleError `Truncated` */
export function legacyStorages(
  source: ByteSource,
  start: number,
  keys: string[],
  sizes: Map<string, number>,
): StorageFinder {
  const positions = new Map<string, number>();
  let position = start;
  for (const key of keys) {
    const size = sizes.get(key);
    if (size === undefined) {
      throw new PickleError('BadStructure', `${source.name}: each storage of the file is used; "${key}" is not`);
    }
    positions.set(key, position);
    position += COUNT_BYTES + size;
  }
  if (position > source.size) {
    const message = `${source.name}: the storages lie inside the file; got ${source.size} of ${position} bytes; it may be cut off`;
    throw new PickleError('Truncated', message);
  }
  const checked = new Set<string>();
  return (storage) => {
    const { key, byteLength, rootByteLength } = keyOf(source.name, storage);
    const at = positions.get(key);
    if (at === undefined) throw new PickleError('BadStructure', `${source.name}: storages are listed; "${key}" is not`);
    const width = storage.dtype === undefined ? 1 : bitsOf(storage.dtype) / 8;
    return {
      dtype: storage.dtype,
      byteLength,
      bigEndian: false,
      async read(from, to, signal) {
        if (!checked.has(key)) {
          const count = new DataView((await source.read(at, at + COUNT_BYTES, signal)).buffer).getBigInt64(0, true);
          if (count * BigInt(width) !== BigInt(rootByteLength)) {
            const message = `${source.name}: a storage has the length that its tensors name; got ${count} elements for "${key}"`;
            throw new PickleError('BadTensor', message);
          }
          checked.add(key);
        }
        const begin = at + COUNT_BYTES + storage.byteOffset;
        return source.read(begin + from, begin + to, signal);
      },
    };
  };
}
