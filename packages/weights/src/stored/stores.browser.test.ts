import { fileURLToPath } from 'node:url';
import { chromiumExecutable, closeBrowsers, runInChromium } from '@rass/testkit/browser';
import { afterAll, describe, expect, it } from 'vitest';

/** Puts, gets, replaces, lists and removes pieces, and reads a folder through the store twice, the second time without its network. */
const script = (store: string): string => `
  import { blobFolder, cacheStore, directoryStore, makeManifest, removeKept, storedFolder, WeightsError } from '@rass/weights';
  const listed = async (store) => (await store.keys()).sort();
  export default async function () {
    const store = ${store};
    const missing = await store.get('none');
    await store.put('a/b *?', Uint8Array.of(1, 2, 3));
    await store.put('c', Uint8Array.of(4));
    await store.put('c', Uint8Array.of(5, 6));
    const [first, second, keys] = [[...await store.get('a/b *?')], [...await store.get('c')], await listed(store)];
    await store.delete('c');
    await store.delete('none');
    const left = await listed(store);

    const bytes = Uint8Array.from({ length: 2500 }, (_, i) => i % 251);
    const manifest = await makeManifest(blobFolder({ 'x.bin': new Blob([bytes]) }), ['x.bin'], { pieceBytes: 1000 });
    const online = blobFolder({ 'x.bin': new Blob([bytes]), 'files.json': new Blob([JSON.stringify(manifest)]) }, 'model');
    await (await storedFolder(online, { store })).fetchAll();
    const offline = { name: 'model', open: () => Promise.reject(new WeightsError('Unreachable', 'offline')) };
    const source = await (await storedFolder(offline, { store })).open('x.bin');
    const read = await source.read(990, 2010);
    const right = read.length === 1020 && read.every((value, i) => value === (990 + i) % 251);
    await removeKept(store);
    return { missing: missing === undefined, first, second, keys, left, right, rest: await listed(store) };
  }`;

/** The file system's root, in which others have a folder and files, too. */
const SHARED = `await (async () => {
  const root = await navigator.storage.getDirectory();
  await root.getDirectoryHandle('photographs', { create: true });
  for (const name of ['100% mine.db', 'manifest mine']) await root.getFileHandle(name, { create: true });
  return directoryStore(root);
})()`;

describe.skipIf(chromiumExecutable() === undefined)('in Chromium', () => {
  afterAll(closeBrowsers);
  it.each([
    ['the Cache API', "await cacheStore('test')"],
    ['the origin private file system', 'directoryStore(await navigator.storage.getDirectory())'],
    ['a directory that others use, too', SHARED],
  ])('keeps pieces in %s', async (_, store) => {
    const found = await runInChromium(script(store), {
      resolveFrom: fileURLToPath(new URL('.', import.meta.url)),
      withoutWebgpu: true,
    });
    expect(found).toEqual({
      missing: true,
      first: [1, 2, 3],
      second: [5, 6],
      keys: ['a/b *?', 'c'],
      left: ['a/b *?'],
      right: true,
      rest: ['a/b *?'],
    });
  });
});
