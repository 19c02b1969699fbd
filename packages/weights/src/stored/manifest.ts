import { shown } from '@rass/nn';
import { throwIfAborted, WeightsError } from '../error.ts';
import { type ByteFolder, checkInside } from '../source/folder.ts';

/** The list of a folder's files, with the hashes by which pieces of them are known again. */
export const MANIFEST_FILE = 'files.json';

export interface ManifestFile {
  readonly path: string;
  readonly bytes: number;
  /** SHA-256 of each piece in hexadecimal; all but the last are of `pieceBytes`. */
  readonly pieces: readonly string[];
}

export interface Manifest {
  readonly format: 1;
  readonly pieceBytes: number;
  readonly files: readonly ManifestFile[];
}

/** Small enough that a broken download loses little, large enough that requests do not count. */
const PIECE_BYTES = 4 << 20;
/** A manifest may come from anyone: a piece of it is held in memory. */
const MOST_PIECE_BYTES = 256 << 20;
/** What pieces are named by. */
export const HASH = /^[0-9a-f]{64}$/;

/** SHA-256 in hexadecimal. @throws WeightsError `NoCrypto` on a page that is not secure */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const { subtle } = globalThis.crypto ?? {};
  if (subtle === undefined) {
    throw new WeightsError(
      'NoCrypto',
      'sha256: hashes need a secure page; got one without crypto.subtle; serve it by https',
    );
  }
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Where piece `index` of a file lies in it. */
export function pieceRange({ bytes }: ManifestFile, pieceBytes: number, index: number): [start: number, end: number] {
  const start = index * pieceBytes;
  return [start, Math.min(bytes, start + pieceBytes)];
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function refuse(where: string, rule: string, got: unknown): never {
  throw new WeightsError('BadManifest', `${where}: ${rule}; got ${shown(got)}; export the model anew`);
}

function parseFile(where: string, value: unknown, pieceBytes: number): ManifestFile {
  if (!isObject(value) || typeof value['path'] !== 'string') return refuse(where, 'a file has a path', value);
  const { path, bytes, pieces } = value as { path: string; bytes: unknown; pieces: unknown };
  checkInside(path);
  if (!isCount(bytes)) return refuse(where, `"${path}" has a number of bytes`, bytes);
  if (!Array.isArray(pieces) || !pieces.every((each) => typeof each === 'string' && HASH.test(each))) {
    return refuse(where, `"${path}" has hashes of 64 digits`, pieces);
  }
  const count = Math.ceil(bytes / pieceBytes);
  if (pieces.length !== count) return refuse(where, `"${path}" has ${count} pieces`, pieces.length);
  return { path, bytes, pieces };
}

/** Checks what a manifest's JSON says. @throws WeightsError `BadManifest`, `BadPath` */
export function parseManifest(value: unknown, where: string): Manifest {
  if (!isObject(value) || value['format'] !== 1)
    return refuse(where, 'a list of files has format 1', isObject(value) ? value['format'] : value);
  const { pieceBytes, files } = value;
  if (!isCount(pieceBytes) || pieceBytes < 1 || pieceBytes > MOST_PIECE_BYTES) {
    return refuse(where, `pieces have 1 to ${MOST_PIECE_BYTES} bytes`, pieceBytes);
  }
  if (!Array.isArray(files)) return refuse(where, 'it has a list of files', files);
  const parsed = files.map((each) => parseFile(where, each, pieceBytes));
  const paths = new Set<string>();
  for (const { path } of parsed) {
    if (paths.has(path)) return refuse(where, 'each file is there once', path);
    paths.add(path);
  }
  return { format: 1, pieceBytes, files: parsed };
}

export interface ManifestOptions {
  readonly pieceBytes?: number;
  readonly signal?: AbortSignal;
}

/** Reads files of a folder through and makes their manifest. @throws WeightsError `NotFound` for one that is not there */
export async function makeManifest(
  folder: ByteFolder,
  paths: readonly string[],
  { pieceBytes = PIECE_BYTES, signal }: ManifestOptions = {},
): Promise<Manifest> {
  const files: ManifestFile[] = [];
  for (const path of [...paths].sort()) {
    const source = await folder.open(checkInside(path), signal);
    if (source === undefined) throw new WeightsError('NotFound', `${folder.name}: it has ${path}; got none`);
    try {
      const pieces: string[] = [];
      for (let start = 0; start < source.size; start += pieceBytes) {
        throwIfAborted(signal);
        pieces.push(await sha256(await source.read(start, Math.min(source.size, start + pieceBytes), signal)));
      }
      files.push({ path, bytes: source.size, pieces });
    } finally {
      await source.close();
    }
  }
  return { format: 1, pieceBytes, files };
}
