import { HASH, type Manifest, parseManifest } from './manifest.ts';
import type { PieceStore } from './stores.ts';

/** Of a folder's list of files as it was when all was kept, and as it is while a new version is fetched. */
const WHOLE = 'manifest ';
const NEXT = 'next ';

export const wholeKey = (folder: string): string => WHOLE + folder;
export const nextKey = (folder: string): string => NEXT + folder;

/** A folder of which pieces are kept. */
export interface KeptFolder {
  /** Its address. */
  readonly name: string;
  /** Of all its files. */
  readonly bytes: number;
  /** Of the pieces that are here. */
  readonly keptBytes: number;
}

interface Listed {
  readonly key: string;
  readonly name: string;
  readonly manifest: Manifest;
}

/** How a list's key begins; undefined for what is no list. */
const leadOf = (key: string): string | undefined => [WHOLE, NEXT].find((each) => key.startsWith(each));

/** The lists of a store that can be read. */
async function listsOf(store: PieceStore, keys: readonly string[]): Promise<Listed[]> {
  const lists: Listed[] = [];
  for (const key of keys) {
    const lead = leadOf(key);
    const bytes = lead === undefined ? undefined : await store.get(key);
    if (lead === undefined || bytes === undefined) continue;
    try {
      const manifest = parseManifest(JSON.parse(new TextDecoder().decode(bytes)), key);
      lists.push({ key, name: key.slice(lead.length), manifest });
    } catch {
      // Damaged where it lay: nothing can be found by it.
    }
  }
  return lists;
}

/** Others may keep things of their own in the same place. */
const isPiece = (key: string): boolean => HASH.test(key);

/** Removes the pieces that no list names: those of older versions. Returns how many. */
export async function removeUnlisted(store: PieceStore): Promise<number> {
  const keys = await store.keys();
  const lists = await listsOf(store, keys);
  const named = new Set(lists.flatMap(({ manifest }) => manifest.files.flatMap(({ pieces }) => pieces)));
  const unlisted = keys.filter((key) => isPiece(key) && !named.has(key));
  for (const key of unlisted) await store.delete(key);
  return unlisted.length;
}

/** What a store keeps, folder by folder. */
export async function listKept(store: PieceStore): Promise<KeptFolder[]> {
  const keys = await store.keys();
  const here = new Set(keys);
  const folders = new Map<string, KeptFolder>();
  for (const { name, manifest } of await listsOf(store, keys)) {
    const sizes = manifest.files.flatMap(({ bytes, pieces }) =>
      pieces.map((hash, i) => ({ hash, size: Math.min(manifest.pieceBytes, bytes - i * manifest.pieceBytes) })),
    );
    const sum = (some: typeof sizes): number => some.reduce((total, { size }) => total + size, 0);
    const kept = sum(sizes.filter(({ hash }) => here.has(hash)));
    const other = folders.get(name)?.keptBytes ?? 0;
    folders.set(name, { name, bytes: sum(sizes), keptBytes: Math.max(kept, other) });
  }
  return [...folders.values()];
}

/** Removes a folder from a store, by its name, or all folders. What others keep in the same place stays. */
export async function removeKept(store: PieceStore, name?: string): Promise<void> {
  if (name === undefined) {
    for (const key of await store.keys()) {
      if (isPiece(key) || leadOf(key) !== undefined) await store.delete(key);
    }
    return;
  }
  await store.delete(wholeKey(name));
  await store.delete(nextKey(name));
  await removeUnlisted(store);
}
