import { throwIfAborted, WeightsError } from '../error.ts';
import { type ByteSource, checkRange } from '../source/byte-source.ts';
import { type ByteFolder, checkInside, readText, urlFolder } from '../source/folder.ts';
import { parseJson } from '../source/parse-json.ts';
import type { UrlSourceOptions } from '../source/url-source.ts';
import { nextKey, removeUnlisted, wholeKey } from './kept.ts';
import { MANIFEST_FILE, type Manifest, type ManifestFile, parseManifest, pieceRange, sha256 } from './manifest.ts';
import type { PieceStore } from './stores.ts';

/** How far a folder's files have come. */
export interface StoredProgress {
  /** Bytes that are here, from the store or from the network. */
  readonly loaded: number;
  readonly total: number;
  /** Of them, those that the store had. */
  readonly fromStore: number;
}

export interface StoredFolderOptions extends Omit<UrlSourceOptions, 'blockBytes' | 'first'> {
  readonly store: PieceStore;
  /** Requests at once while everything is fetched; default 4. */
  readonly parallel?: number;
  readonly onProgress?: (progress: StoredProgress) => void;
  /** Told once when a piece cannot be kept, as where the disk is full; what was asked for is read all the same. */
  readonly onStoreError?: (error: unknown) => void;
}

/** A folder whose files are verified piece by piece and kept in a store. */
export interface StoredFolder extends ByteFolder {
  readonly manifest: Manifest;
  /** Fetches what the store does not have, so that the folder can be read without a network. What came before a break is kept. Then an older
   * version of the folder leaves the store; where there is no room for both, before. Gives whether the store has it all: where nothing more
   * can be put there, what is missing is fetched as it is read.
   * @throws WeightsError `BadHash`, or what the network throws */
  fetchAll(signal?: AbortSignal): Promise<boolean>;
}

const PARALLEL = 4;
/** Pieces that stay in memory, since tensors are read in the order of their files. */
const KEPT = 2;

interface Piece {
  readonly file: ManifestFile;
  readonly index: number;
  readonly hash: string;
}

/** The pieces of a folder: from memory, the store or the folder below, in this order. */
class Pieces {
  readonly #below: ByteFolder;
  readonly #manifest: Manifest;
  readonly #options: StoredFolderOptions;
  readonly #sources = new Map<string, Promise<ByteSource | undefined>>();
  readonly #recent = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();
  readonly #here = new Set<string>();
  readonly #total: number;
  #loaded = 0;
  #fromStore = 0;
  #making: Promise<void> | undefined;
  /** Whether the store takes no more. */
  isFull = false;

  constructor(below: ByteFolder, manifest: Manifest, options: StoredFolderOptions) {
    this.#below = below;
    this.#manifest = manifest;
    this.#options = options;
    this.#total = manifest.files.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Counts a piece the first time that it is here. */
  #tell({ file, index }: Piece, from: 'store' | 'network'): void {
    const key = `${file.path} ${index}`;
    if (this.#here.has(key)) return;
    this.#here.add(key);
    const [start, end] = pieceRange(file, this.#manifest.pieceBytes, index);
    this.#loaded += end - start;
    if (from === 'store') this.#fromStore += end - start;
    this.#options.onProgress?.({ loaded: this.#loaded, total: this.#total, fromStore: this.#fromStore });
  }

  async #stored({ hash, file, index }: Piece): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { store } = this.#options;
    const bytes = await store.get(hash);
    if (bytes === undefined) return undefined;
    const [start, end] = pieceRange(file, this.#manifest.pieceBytes, index);
    if (bytes.byteLength === end - start && (await sha256(bytes)) === hash) return bytes;
    // Cut short or changed where it lay: fetched again.
    await store.delete(hash);
    return undefined;
  }

  async #keep(hash: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { store, onStoreError } = this.#options;
    if (this.isFull) return;
    try {
      await store.put(hash, bytes).catch(async () => {
        await this.makeRoom();
        await store.put(hash, bytes);
      });
    } catch (error) {
      if (!this.isFull) onStoreError?.(error);
      this.isFull = true;
    }
  }

  /** Gives up the older version, once for all who ask for it meanwhile: two at once would take the new one's pieces for unlisted. */
  makeRoom(): Promise<void> {
    this.#making ??= makeRoom(this.#below, this.#options.store).finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  async #fetched({ file, index, hash }: Piece, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const { path } = file;
    const range = pieceRange(file, this.#manifest.pieceBytes, index);
    const opening = this.#sources.get(path) ?? this.#below.open(path, signal, range);
    this.#sources.set(path, opening);
    const source = await opening.catch((error) => {
      this.#sources.delete(path);
      throw error;
    });
    const where = `${this.#below.name}: ${path}`;
    if (source === undefined) {
      throw new WeightsError(
        'NotFound',
        `${where}: the folder has what its ${MANIFEST_FILE} lists; got none; export it anew`,
      );
    }
    if (source.size !== file.bytes) {
      throw new WeightsError(
        'BadHash',
        `${where}: it has ${file.bytes} bytes, as ${MANIFEST_FILE} says; got ${source.size}; load both anew`,
      );
    }
    const bytes = await source.read(...range, signal);
    const got = await sha256(bytes);
    if (got === hash) return bytes;
    throw new WeightsError(
      'BadHash',
      `${where}: piece ${index} has the hash ${hash}; got ${got}; load ${MANIFEST_FILE} anew, or export the model anew`,
    );
  }

  /** Makes sure that the store has a piece, and gives it. */
  async take(piece: Piece, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    throwIfAborted(signal);
    const stored = await this.#stored(piece);
    if (stored !== undefined) {
      this.#tell(piece, 'store');
      return stored;
    }
    const bytes = await this.#fetched(piece, signal);
    await this.#keep(piece.hash, bytes);
    this.#tell(piece, 'network');
    return bytes;
  }

  /** A piece, which stays in memory for the next reads. */
  read(piece: Piece, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const known = this.#recent.get(piece.hash);
    this.#recent.delete(piece.hash);
    const reading = known ?? this.take(piece, signal);
    this.#recent.set(piece.hash, reading);
    reading.catch(() => this.#recent.delete(piece.hash));
    for (const hash of this.#recent.keys()) {
      if (this.#recent.size <= KEPT) break;
      this.#recent.delete(hash);
    }
    return reading;
  }
}

const piecesOf = (file: ManifestFile): Piece[] => file.pieces.map((hash, index) => ({ file, index, hash }));

function pieceSource(name: string, file: ManifestFile, pieceBytes: number, pieces: Pieces): ByteSource {
  return {
    name,
    size: file.bytes,
    async read(start, end, signal) {
      throwIfAborted(signal);
      checkRange(name, file.bytes, start, end);
      const bytes = new Uint8Array(end - start);
      for (let index = Math.floor(start / pieceBytes); index * pieceBytes < end; index++) {
        const piece = await pieces.read({ file, index, hash: file.pieces[index] }, signal);
        const at = index * pieceBytes;
        const part = piece.subarray(Math.max(0, start - at), Math.min(piece.byteLength, end - at));
        bytes.set(part, at + Math.max(0, start - at) - start);
      }
      return bytes;
    },
    close: async () => {},
  };
}

/** Gives up what is kept of a folder's older version, for the new one. */
async function makeRoom(below: ByteFolder, store: PieceStore): Promise<void> {
  const next = await store.get(nextKey(below.name));
  if (next === undefined) return void (await removeUnlisted(store));
  await store.delete(wholeKey(below.name));
  await removeUnlisted(store);
  await store.put(wholeKey(below.name), next);
  await store.delete(nextKey(below.name));
}

/** The manifest of a folder, from the network where it answers, else as it was the last time. */
async function readManifest(below: ByteFolder, { store, onStoreError }: StoredFolderOptions): Promise<Manifest> {
  const where = `${below.name}/${MANIFEST_FILE}`;
  const parsed = (text: string): Manifest => {
    try {
      return parseManifest(parseJson(text), where);
    } catch (cause) {
      if (cause instanceof WeightsError) throw cause;
      throw new WeightsError(
        'BadManifest',
        `${where}: the list of files is JSON; got "${text.slice(0, 40)}"; export the model anew`,
        { cause },
      );
    }
  };
  const bytes = await store.get(wholeKey(below.name));
  const kept = bytes && new TextDecoder().decode(bytes);
  let text: string | undefined;
  try {
    text = await readText(below, MANIFEST_FILE);
  } catch (error) {
    const isAway = error instanceof WeightsError && ['Unreachable', 'Stalled'].includes(error.rule);
    if (!isAway || kept === undefined) throw error;
    return parsed(kept);
  }
  if (text === undefined) {
    throw new WeightsError(
      'NotFound',
      `${where}: a folder to be stored lists its files; got no list; write it with rass export`,
    );
  }
  const manifest = parsed(text);
  if (text === kept) {
    // A newer version that was taken back.
    await store.delete(nextKey(below.name));
    return manifest;
  }
  // The older version stays whole until all of this one is here.
  const key = kept === undefined ? wholeKey(below.name) : nextKey(below.name);
  await store.put(key, new TextEncoder().encode(text)).catch((error) => onStoreError?.(error));
  return manifest;
}

/** Opens a folder by its URL, or any folder of bytes, with a `files.json`: its files are read in pieces, each checked against its hash and
 * kept in the store, where the next visit finds it, also without a network. A broken download goes on with the next piece.
 * @throws WeightsError `NotFound`, `BadManifest`, `Unreachable` */
export async function storedFolder(
  from: string | URL | ByteFolder,
  options: StoredFolderOptions,
): Promise<StoredFolder> {
  const isUrl = typeof from === 'string' || from instanceof URL;
  const manifest = await readManifest(isUrl ? urlFolder(from, options) : from, options);
  // A byte is fetched once: pieces are asked for as they are, never with what lies beside them.
  const below = isUrl ? urlFolder(from, { ...options, blockBytes: 1 }) : from;
  const pieces = new Pieces(below, manifest, options);
  const byPath = new Map(manifest.files.map((file) => [file.path, file]));
  return {
    name: below.name,
    manifest,
    async open(path) {
      const file = byPath.get(checkInside(path));
      return file && pieceSource(`${below.name}/${path}`, file, manifest.pieceBytes, pieces);
    },
    async fetchAll(signal = options.signal) {
      const waiting = manifest.files.flatMap(piecesOf);
      let next = 0;
      const work = async (): Promise<void> => {
        while (next < waiting.length && !pieces.isFull) await pieces.take(waiting[next++], signal);
      };
      const all = Array.from({ length: options.parallel ?? PARALLEL }, () =>
        work().catch((error) => {
          // What the others would still begin.
          next = waiting.length;
          throw error;
        }),
      );
      const failed = (await Promise.allSettled(all)).find(({ status }) => status === 'rejected');
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
      if (!pieces.isFull) await pieces.makeRoom();
      return !pieces.isFull;
    },
  };
}
