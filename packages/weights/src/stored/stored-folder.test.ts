import { randomValues } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { WeightsError } from '../error.ts';
import { openCheckpoint } from '../open.ts';
import { encodeSafetensors } from '../safetensors/write.ts';
import { type ByteFolder, blobFolder } from '../source/folder.ts';
import { listKept, removeKept } from './kept.ts';
import { MANIFEST_FILE, type Manifest, makeManifest, parseManifest, sha256 } from './manifest.ts';
import { type StoredProgress, storedFolder } from './stored-folder.ts';
import { memoryStore, type PieceStore } from './stores.ts';

const PIECE = 1000;
const values = randomValues(1500, { seed: 1 });
const FILES = {
  'unet/weights.safetensors': await encodeSafetensors(
    new Map([
      ['a', { dtype: 'F32', shape: [30, 40], data: values.slice(0, 1200) }],
      ['b', { dtype: 'F32', shape: [300], data: values.slice(1200) }],
    ]),
  ),
  'config.json': new TextEncoder().encode('{"a": 1}'),
  'empty.bin': new Uint8Array(0),
};
const [LARGE] = Object.keys(FILES) as [string];

const blobs = (manifest: Manifest, changed: Record<string, Uint8Array<ArrayBuffer>> = {}): ByteFolder => {
  const all: Record<string, Uint8Array<ArrayBuffer>> = { ...FILES, ...changed };
  const files = Object.entries(all).map(([path, bytes]) => [path, new Blob([bytes])] as const);
  return blobFolder(new Map([...files, [MANIFEST_FILE, new Blob([JSON.stringify(manifest)])]]), 'model');
};

/** A folder that says how many bytes were read of it, and breaks after some of them. */
function network(folder: ByteFolder, most = Number.POSITIVE_INFINITY): ByteFolder & { bytes: number } {
  const counted = {
    name: folder.name,
    bytes: 0,
    async open(path: string) {
      const source = await folder.open(path);
      if (source === undefined) return undefined;
      return {
        ...source,
        async read(start: number, end: number, signal?: AbortSignal) {
          if (path !== MANIFEST_FILE) counted.bytes += end - start;
          if (counted.bytes > most) throw new WeightsError('Unreachable', 'the line is dead');
          return source.read(start, end, signal);
        },
      };
    },
  };
  return counted;
}

const offline: ByteFolder = {
  name: 'model',
  open: () => Promise.reject(new WeightsError('Unreachable', 'the line is dead')),
};
const manifestOf = (): Promise<Manifest> =>
  makeManifest(blobFolder(toBlobs(), 'model'), Object.keys(FILES), { pieceBytes: PIECE });
const toBlobs = () => new Map(Object.entries(FILES).map(([path, bytes]) => [path, new Blob([bytes])]));
const TOTAL = Object.values(FILES).reduce((sum, { byteLength }) => sum + byteLength, 0);

async function readsRight(folder: ByteFolder): Promise<void> {
  const checkpoint = await openCheckpoint((await folder.open(LARGE))!);
  expect((await checkpoint.read('b')).data).toEqual(values.slice(1200));
  expect((await checkpoint.read('a')).data).toEqual(values.slice(0, 1200));
}

describe('storedFolder', () => {
  it('reads files in pieces, fetched once and found again without a network', async () => {
    const below = network(blobs(await manifestOf()));
    const store = memoryStore();
    const seen: StoredProgress[] = [];
    const folder = await storedFolder(below, { store, onProgress: (progress) => seen.push(progress) });
    await folder.fetchAll();
    expect(below.bytes).toBe(TOTAL);
    expect(seen.at(-1)).toEqual({ loaded: TOTAL, total: TOTAL, fromStore: 0 });
    await readsRight(folder);
    expect(below.bytes).toBe(TOTAL);
    expect(await folder.open('nothing.json')).toBeUndefined();

    const again: StoredProgress[] = [];
    const second = await storedFolder(offline, { store, onProgress: (progress) => again.push(progress) });
    await second.fetchAll();
    await readsRight(second);
    expect(again.at(-1)).toEqual({ loaded: TOTAL, total: TOTAL, fromStore: TOTAL });
  });

  it('fetches what is asked for alone', async () => {
    const below = network(blobs(await manifestOf()));
    const folder = await storedFolder(below, { store: memoryStore() });
    const source = (await folder.open(LARGE))!;
    expect(await source.read(1990, 2010)).toEqual(FILES[LARGE as 'config.json'].slice(1990, 2010));
    expect(below.bytes).toBe(2 * PIECE);
    expect(await source.read(5, 5)).toEqual(new Uint8Array(0));
    await expect(source.read(0, 1e6)).rejects.toThrow('a range lies inside');
  });

  it('goes on where a download broke', async () => {
    const manifest = await manifestOf();
    const store = memoryStore();
    const breaking = await storedFolder(network(blobs(manifest), 3 * PIECE), { store, parallel: 1 });
    await expect(breaking.fetchAll()).rejects.toThrow('the line is dead');
    const rest = network(blobs(manifest));
    const folder = await storedFolder(rest, { store });
    await folder.fetchAll();
    expect(rest.bytes).toBeLessThan(TOTAL - 2 * PIECE);
    await readsRight(folder);
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const below = network(blobs(await manifestOf()));
    const stopping = await storedFolder(below, {
      store: memoryStore(),
      parallel: 1,
      onProgress: () => controller.abort(),
    });
    await expect(stopping.fetchAll(controller.signal)).rejects.toThrow('aborted');
    expect(below.bytes).toBeLessThan(2 * PIECE);
  });

  it('fetches again what has changed in the store, and refuses what comes wrong', async () => {
    const manifest = await manifestOf();
    const store = memoryStore();
    await (await storedFolder(blobs(manifest), { store })).fetchAll();
    const [, second] = manifest.files.find(({ path }) => path === LARGE)!.pieces;
    await store.put(second!, new Uint8Array(PIECE));
    const below = network(blobs(manifest));
    await (await storedFolder(below, { store })).fetchAll();
    expect(below.bytes).toBe(PIECE);
    expect(await sha256((await store.get(second!))!)).toBe(second);

    const wrong = FILES[LARGE as 'config.json'].slice();
    wrong[1500] = (wrong[1500]! + 1) % 256;
    const bad = await storedFolder(blobs(manifest, { [LARGE]: wrong }), { store: memoryStore() });
    await expect(bad.fetchAll()).rejects.toThrow(`model: ${LARGE}: piece 1 has the hash ${second}; got `);
    const short = await storedFolder(blobs(manifest, { [LARGE]: wrong.slice(5) }), { store: memoryStore() });
    await expect(short.fetchAll()).rejects.toThrow(
      `it has ${wrong.length} bytes, as files.json says; got ${wrong.length - 5}`,
    );
  });

  it('reads all the same where nothing can be kept, and says so once', async () => {
    const full: PieceStore = { ...memoryStore(), put: () => Promise.reject(new Error('no room')) };
    const errors: unknown[] = [];
    const folder = await storedFolder(blobs(await manifestOf()), {
      store: full,
      onStoreError: (error) => errors.push(error),
    });
    await readsRight(folder);
    // Of the list of files, and of the first piece.
    expect(errors.map(String)).toEqual(['Error: no room', 'Error: no room']);
  });

  it('reads a list of 80,000 files, and finds one that is there twice, in a moment', () => {
    const files = Array.from({ length: 80_000 }, (_, i) => ({ path: `a/${i}`, bytes: 0, pieces: [] }));
    const start = process.cpuUsage();
    expect(parseManifest({ format: 1, pieceBytes: 1, files }, 'files.json').files).toHaveLength(80_000);
    const twice = [...files, files[0]];
    expect(() => parseManifest({ format: 1, pieceBytes: 1, files: twice }, 'files.json')).toThrow(
      'files.json: each file is there once; got "a/0"; export the model anew',
    );
    // 7 seconds where each was compared with all.
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(2);
  });

  it('keeps the old version until all of the new one is here, then removes what only the old one has', async () => {
    const store = memoryStore();
    const old = await manifestOf();
    await (await storedFolder(blobs(old), { store })).fetchAll();
    const changed = { ...FILES, 'config.json': new TextEncoder().encode('{"a": 22222}') };
    const next = await makeManifest(blobFolder(new Map(Object.entries(changed).map(([path, bytes]) => [path, new Blob([bytes])])), 'model'), Object.keys(changed), { pieceBytes: PIECE }); // biome-ignore format: one line
    // A go that breaks: without a network the old version is whole.
    const broken = await storedFolder(network(blobs(next, { 'config.json': changed['config.json'] }), 1), { store });
    await expect(broken.fetchAll()).rejects.toThrow('the line is dead');
    const before = await storedFolder(offline, { store });
    expect(before.manifest).toEqual(old);
    await before.fetchAll();
    await readsRight(before);
    const pieces = (manifest: Manifest) => manifest.files.flatMap((file) => file.pieces);
    const gone = pieces(old).filter((hash) => !pieces(next).includes(hash));
    expect(gone).toHaveLength(1);
    // One that does not.
    expect(
      await (await storedFolder(blobs(next, { 'config.json': changed['config.json'] }), { store })).fetchAll(),
    ).toBe(true);
    expect((await store.keys()).sort()).toEqual(['manifest model', ...pieces(next)].sort());
    expect((await storedFolder(offline, { store })).manifest).toEqual(next);
  });

  it('gives up the old version for the new one where there is no room for both', async () => {
    const own = memoryStore();
    let most = Number.POSITIVE_INFINITY;
    const store: PieceStore = {
      ...own,
      async put(key, bytes) {
        if (!(await own.keys()).includes(key) && (await own.keys()).length >= most) throw new Error('no room');
        await own.put(key, bytes);
      },
    };
    const wrong = FILES[LARGE as 'config.json'].map((byte, i) => (i > 500 ? byte ^ 1 : byte));
    const files = new Map(
      Object.entries({ ...FILES, [LARGE]: wrong }).map(([path, bytes]) => [path, new Blob([bytes])]),
    );
    const old = await makeManifest(blobFolder(files, 'model'), Object.keys(FILES), { pieceBytes: PIECE });
    await (await storedFolder(blobs(old, { [LARGE]: wrong }), { store })).fetchAll();
    most = (await own.keys()).length + 2;
    const errors: unknown[] = [];
    const next = await storedFolder(blobs(await manifestOf()), { store, onStoreError: (error) => errors.push(error) });
    expect(await next.fetchAll()).toBe(true);
    expect(errors).toEqual([]);
    await readsRight(await storedFolder(offline, { store }));
    // None at all: no piece is asked for twice, whichever way it is read.
    most = 0;
    const full: PieceStore = { ...memoryStore(), put: () => Promise.reject(new Error('no room')) };
    const below = network(blobs(await manifestOf()));
    const reading = await storedFolder(below, {
      store: full,
      parallel: 1,
      onStoreError: (error) => errors.push(error),
    });
    expect(await reading.fetchAll()).toBe(false);
    await readsRight(reading);
    expect(errors.map(String)).toEqual(['Error: no room', 'Error: no room']);
    // The piece at which that was found out is asked for again, and those that are read out of order.
    expect(below.bytes).toBeLessThanOrEqual(TOTAL + 3 * PIECE);
  });

  it('gives up the old version once where several pieces find no room', async () => {
    const own = memoryStore();
    let deleted = 0;
    let refused = 3;
    const changed = { 'config.json': new TextEncoder().encode('{"a": 22222}') };
    const files = new Map([...toBlobs(), ['config.json', new Blob([changed['config.json']])]]);
    const old = await makeManifest(blobFolder(files, 'model'), Object.keys(FILES), { pieceBytes: PIECE });
    await (await storedFolder(blobs(old, changed), { store: own })).fetchAll();
    const manifest = await manifestOf();
    const pieces = manifest.files.flatMap((file) => file.pieces);
    for (const hash of pieces) await own.delete(hash);
    const store: PieceStore = {
      ...own,
      async put(key, bytes) {
        if (pieces.includes(key) && refused-- > 0) throw new Error('no room');
        await own.put(key, bytes);
      },
      async delete(key) {
        if (key === 'manifest model') deleted += 1;
        // Slower for each of those at once than for the one before.
        await new Promise((resolve) => setTimeout(resolve, 5 * deleted));
        await own.delete(key);
      },
    };
    expect(await (await storedFolder(blobs(manifest), { store })).fetchAll()).toBe(true);
    expect(deleted).toBe(1);
    expect((await own.keys()).sort()).toEqual(['manifest model', ...new Set(pieces)].sort());
  });

  it('lists what is kept, and removes a folder or all', async () => {
    const store = memoryStore();
    const manifest = await manifestOf();
    const named = (name: string): ByteFolder => ({ ...blobs(manifest), name });
    await (await storedFolder(named('one'), { store })).fetchAll();
    await storedFolder(named('two'), { store });
    await store.put('manifest broken', Uint8Array.of(1));
    const kept = { bytes: TOTAL, keptBytes: TOTAL };
    expect(await listKept(store)).toEqual([{ name: 'one', ...kept }, { name: 'two', ...kept }]); // biome-ignore format: one line
    await removeKept(store, 'one');
    expect(await listKept(store)).toEqual([{ name: 'two', ...kept }]);
    await removeKept(store, 'two');
    expect(await store.keys()).toEqual(['manifest broken']);
    await removeKept(store);
    expect(await store.keys()).toEqual([]);
  });

  it('leaves alone what others keep in the same place', async () => {
    const store = memoryStore();
    await store.put('my-database.sqlite', Uint8Array.of(1));
    await store.put('0'.repeat(64), Uint8Array.of(2));
    await (await storedFolder(blobs(await manifestOf()), { store })).fetchAll();
    // A piece of no list is ours, and goes.
    expect((await store.keys()).filter((key) => /^(my-|0{64})/.test(key))).toEqual(['my-database.sqlite']);
    await removeKept(store, 'model');
    await removeKept(store);
    expect(await store.keys()).toEqual(['my-database.sqlite']);
  });

  it('says what is missing', async () => {
    const store = memoryStore();
    await expect(storedFolder(blobFolder(toBlobs(), 'model'), { store })).rejects.toThrow(
      'model/files.json: a folder to be stored lists its files; got no list; write it with rass export',
    );
    await expect(storedFolder(offline, { store })).rejects.toThrow('the line is dead');
  });
});

it.each([
  ['a list of files has format 1', { format: 2 }],
  ['pieces have 1 to 268435456 bytes', { pieceBytes: 0 }],
  ['it has a list of files', { files: 3 }],
  ['a file has a path', { files: [{}] }],
  ['"a" has a number of bytes', { files: [{ path: 'a', bytes: -1, pieces: [] }] }],
  ['"a" has hashes of 64 digits', { files: [{ path: 'a', bytes: 1, pieces: ['x'] }] }],
  ['"a" has 2 pieces', { files: [{ path: 'a', bytes: 11, pieces: [] }] }],
  ['each file is there once', { files: Array(2).fill({ path: 'a', bytes: 0, pieces: [] }) }],
  ["a file's path stays inside the folder", { files: [{ path: '../a', bytes: 0, pieces: [] }] }],
])('refuses a manifest: %s', (message, change) => {
  expect(() => parseManifest({ format: 1, pieceBytes: 10, files: [], ...change }, 'x')).toThrow(message);
});
