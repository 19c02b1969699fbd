import { WeightsError } from '../error.ts';

/** Where pieces of files are kept between visits, by their hashes. */
export interface PieceStore {
  /** The bytes that were put under a key; undefined where there are none. */
  get(key: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** @throws when there is no room */
  put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  delete(key: string): Promise<void>;
  keys(): Promise<string[]>;
}

/** Pieces in memory: for tests, and for pages that may keep nothing. */
export function memoryStore(): PieceStore {
  const pieces = new Map<string, Uint8Array<ArrayBuffer>>();
  return {
    get: async (key) => pieces.get(key)?.slice(),
    put: async (key, bytes) => void pieces.set(key, bytes.slice()),
    delete: async (key) => void pieces.delete(key),
    keys: async () => [...pieces.keys()],
  };
}

/** Requests under this address never leave the browser: the Cache API knows answers by requests. */
const ADDRESS = 'https://pieces.invalid/';

const NAME = 'rass-weights';

/** Insecure pages have no place for files. */
function noStore(where: string, what: string, cause?: unknown): WeightsError {
  const got = cause instanceof Error ? `"${cause.message}"` : 'none';
  return new WeightsError(
    'NoStore',
    `${where}: the browser has ${what}; got ${got}; serve the page by https, in a frame with an origin of its own, or use memoryStore`,
    { cause },
  );
}

/** Frames without an origin of their own may not even ask for it. */
async function openCache(name: string): Promise<Cache> {
  try {
    return await caches.open(name);
  } catch (cause) {
    throw noStore('cacheStore', 'a Cache API', cause);
  }
}

/** Pieces in the browser's Cache API. @throws WeightsError `NoStore` where it has none */
export async function cacheStore(name = NAME): Promise<PieceStore> {
  if (!('caches' in globalThis)) throw noStore('cacheStore', 'a Cache API');
  const cache = await openCache(name);
  const addressOf = (key: string): string => ADDRESS + encodeURIComponent(key);
  return {
    async get(key) {
      const found = await cache.match(addressOf(key));
      return found === undefined ? undefined : new Uint8Array(await found.arrayBuffer());
    },
    put: (key, bytes) => cache.put(addressOf(key), new Response(bytes)),
    delete: async (key) => void (await cache.delete(addressOf(key))),
    async keys() {
      const requests = await cache.keys();
      const own = requests.filter(({ url }) => url.startsWith(ADDRESS));
      return own.map(({ url }) => decodeURIComponent(url.slice(ADDRESS.length)));
    },
  };
}

/** The key that an entry of a directory was put under; undefined for entries of others. */
function keyOf(name: string, nameOf: (key: string) => string): string | undefined {
  try {
    const key = decodeURIComponent(name);
    return nameOf(key) === name ? key : undefined;
  } catch {
    return undefined;
  }
}

const isMissing = (error: unknown): boolean => error instanceof DOMException && error.name === 'NotFoundError';

/** Pieces as files of a directory, such as one of the origin private file system (`navigator.storage.getDirectory()`). A file is there whole
 * or not at all; what else lies in the directory is left alone. */
export function directoryStore(directory: FileSystemDirectoryHandle): PieceStore {
  const nameOf = (key: string): string => encodeURIComponent(key).replaceAll('*', '%2A');
  return {
    async get(key) {
      try {
        const handle = await directory.getFileHandle(nameOf(key));
        return new Uint8Array(await (await handle.getFile()).arrayBuffer());
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    async put(key, bytes) {
      const handle = await directory.getFileHandle(nameOf(key), { create: true });
      // What is written is seen when the stream is closed.
      const stream = await handle.createWritable();
      try {
        await stream.write(bytes);
      } catch (error) {
        await stream.abort();
        throw error;
      }
      await stream.close();
    },
    async delete(key) {
      try {
        await directory.removeEntry(nameOf(key));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    },
    async keys() {
      const keys: string[] = [];
      for await (const [name, { kind }] of directory.entries()) {
        const key = kind === 'file' ? keyOf(name, nameOf) : undefined;
        if (key !== undefined) keys.push(key);
      }
      return keys;
    },
  };
}

/** Pieces in a folder of the origin private file system. @throws WeightsError `NoStore` where the browser has none */
export async function filesStore(name = NAME): Promise<PieceStore> {
  const what = 'a file system of the origin';
  if (globalThis.navigator?.storage?.getDirectory === undefined) throw noStore('filesStore', what);
  try {
    const root = await navigator.storage.getDirectory();
    return directoryStore(await root.getDirectoryHandle(name, { create: true }));
  } catch (cause) {
    throw noStore('filesStore', what, cause);
  }
}
