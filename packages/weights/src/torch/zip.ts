import { PickleError } from '../pickle/pickle-error.ts';
import { type ByteSource, bufferSource, sliceSource } from '../source/byte-source.ts';

/** One file of a zip archive. */
interface ZipEntry {
  readonly method: number;
  readonly compressedSize: number;
  readonly size: number;
  readonly headerOffset: number;
}

/** A zip archive whose files are read by range. */
export interface ZipArchive {
  readonly names: readonly string[];
  has(name: string): boolean;
  /** Bytes of a file once unpacked. */
  sizeOf(name: string): number;
  /** A file as a source; a packed one is unpacked into memory, at most `maxBytes`. @throws PickleError `BadZip` */
  open(name: string, maxBytes?: number, signal?: AbortSignal): Promise<ByteSource>;
}

// APPNOTE.TXT 6.3.10, PKWARE.
const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const END_BYTES = 22;
const MAX_COMMENT = 0xffff;
const MAX_ENTRIES = 300_000;
const MAX_DIRECTORY_BYTES = 1 << 26;
const MAX_UNPACKED = 2 ** 31;
// Deflate's best: a file that claims to unpack to more is lying, and its size is not to be allocated.
const MAX_RATIO = 1032;
const STORED = 0;
const DEFLATED = 8;

function bad(name: string, rule: string, got: string): never {
  throw new PickleError('BadZip', `${name}: ${rule}; got ${got}`);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function uint64(view: DataView, at: number, name: string): number {
  const value = view.getBigUint64(at, true);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : bad(name, 'sizes are below 2^53', `${value}`);
}

interface Directory {
  offset: number;
  size: number;
  count: number;
}

async function findDirectory(source: ByteSource, signal?: AbortSignal): Promise<Directory> {
  const { name, size } = source;
  const start = Math.max(0, size - END_BYTES - MAX_COMMENT);
  const tail = viewOf(await source.read(start, size, signal));
  let at = tail.byteLength - END_BYTES;
  const isEnd = (place: number) =>
    tail.getUint32(place, true) === END && tail.getUint16(place + 20, true) === tail.byteLength - place - END_BYTES;
  while (at >= 0 && !isEnd(at)) at--;
  if (at < 0) return bad(name, 'a zip archive ends with its directory', 'none; the file may be cut off');
  const end = {
    count: tail.getUint16(at + 10, true),
    size: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  };
  const needs64 = end.count === 0xffff || end.size === 0xffffffff || end.offset === 0xffffffff;
  const locatorAt = start + at - 20;
  if (!needs64 || locatorAt < 0) return end;
  const locator = viewOf(await source.read(locatorAt, locatorAt + 20, signal));
  if (locator.getUint32(0, true) !== LOCATOR64) return end;
  const end64At = uint64(locator, 8, name);
  if (end64At + 56 > size) return bad(name, 'the zip64 directory lies inside the file', `an offset of ${end64At}`);
  const end64 = viewOf(await source.read(end64At, end64At + 56, signal));
  if (end64.getUint32(0, true) !== END64) return bad(name, 'a zip64 archive has a zip64 directory', 'none');
  return { count: uint64(end64, 32, name), size: uint64(end64, 40, name), offset: uint64(end64, 48, name) };
}

/** Sizes and offsets above 4 GiB stand in an extra field, in this order, each only where its short form is all ones. */
function wideSizes(view: DataView, at: number, length: number, short: number[], name: string): number[] {
  if (short.every((value) => value !== 0xffffffff)) return short;
  for (let place = at; place + 4 <= at + length; ) {
    const id = view.getUint16(place, true);
    const bytes = view.getUint16(place + 2, true);
    place += 4;
    if (id !== 1) {
      place += bytes;
      continue;
    }
    const end = Math.min(place + bytes, at + length);
    return short.map((value) => {
      if (value !== 0xffffffff) return value;
      if (place + 8 > end) return bad(name, 'a zip64 entry has its sizes', 'a field too short');
      place += 8;
      return uint64(view, place - 8, name);
    });
  }
  return bad(name, 'a zip64 entry has its sizes', 'none');
}

function parseDirectory(name: string, bytes: Uint8Array, count: number, limit: number): Map<string, ZipEntry> {
  const view = viewOf(bytes);
  const entries = new Map<string, ZipEntry>();
  const decoder = new TextDecoder();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL)
      bad(name, 'the directory lists every file', 'less');
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) bad(name, 'the directory lists every file', 'an entry that is cut off');
    const entryName = decoder.decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const short = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
    const [size, compressedSize, headerOffset] = wideSizes(view, at + 46 + nameLength, extraLength, short, name);
    const method = view.getUint16(at + 10, true);
    if ((view.getUint16(at + 8, true) & 1) !== 0) bad(name, 'archives are not encrypted', `"${entryName}", which is`);
    if (method !== STORED && method !== DEFLATED) bad(name, 'files are stored or deflated', `method ${method}`);
    if (method === STORED && size !== compressedSize) bad(name, 'a stored file has one size', `two for "${entryName}"`);
    if (entries.has(entryName)) bad(name, 'a name stands once', `"${entryName}" twice`);
    if (headerOffset + 30 + nameLength + compressedSize > limit)
      bad(name, 'files lie before the directory', `"${entryName}"`);
    entries.set(entryName, { method, compressedSize, size, headerOffset });
    at = next;
  }
  return entries;
}

/** Files that share bytes are how small archives unpack to enormous ones. */
function refuseOverlaps(name: string, entries: Map<string, ZipEntry>): void {
  const sorted = [...entries].sort(([, a], [, b]) => a.headerOffset - b.headerOffset);
  let end = 0;
  for (const [entryName, { headerOffset, compressedSize }] of sorted) {
    if (headerOffset < end) bad(name, 'the files of an archive do not overlap', `"${entryName}" inside another`);
    end = headerOffset + 30 + entryName.length + compressedSize;
  }
}

async function inflate(source: ByteSource, size: number, signal?: AbortSignal): Promise<Uint8Array> {
  const packed = await source.read(0, source.size, signal);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  const out = new Uint8Array(size);
  let at = 0;
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > size) bad(source.name, 'a file unpacks to the size it says', `more than ${size} bytes`);
      out.set(value, at);
      at += value.length;
    }
  } catch (cause) {
    if (cause instanceof PickleError) throw cause;
    throw new PickleError('BadZip', `${source.name}: a packed file can be unpacked; it is damaged`, { cause });
  } finally {
    reader.cancel().catch(() => {});
  }
  return at === size ? out : bad(source.name, 'a file unpacks to the size it says', `${at} of ${size} bytes`);
}

/** Reads an archive's directory; files are read when they are opened. @throws PickleError `BadZip` */
export async function openZip(source: ByteSource, signal?: AbortSignal): Promise<ZipArchive> {
  const { name, size } = source;
  if (size < END_BYTES) bad(name, 'a zip archive has a directory', `a file of ${size} bytes`);
  const directory = await findDirectory(source, signal);
  const end = directory.offset + directory.size;
  if (directory.count > MAX_ENTRIES || directory.size > MAX_DIRECTORY_BYTES || end > size) {
    bad(name, 'the directory lies inside the file', `${directory.count} entries, bytes ${directory.offset} to ${end}`);
  }
  const bytes = await source.read(directory.offset, end, signal);
  const entries = parseDirectory(name, bytes, directory.count, directory.offset);
  refuseOverlaps(name, entries);
  const entryOf = (entryName: string): ZipEntry =>
    entries.get(entryName) ?? bad(name, 'the archive holds what its pickle refers to', `no "${entryName}"`);
  return {
    names: [...entries.keys()],
    has: (entryName) => entries.has(entryName),
    sizeOf: (entryName) => entryOf(entryName).size,
    async open(entryName, maxBytes = MAX_UNPACKED, abort = signal) {
      const entry = entryOf(entryName);
      const label = `${name}/${entryName}`;
      const local = viewOf(await source.read(entry.headerOffset, entry.headerOffset + 30, abort));
      if (local.getUint32(0, true) !== LOCAL)
        bad(name, 'the directory points at files', `something else for "${entryName}"`);
      const start = entry.headerOffset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
      if (start + entry.compressedSize > directory.offset)
        bad(name, 'files lie before the directory', `"${entryName}"`);
      const packed = sliceSource(source, start, start + entry.compressedSize, label);
      if (entry.method === STORED) return packed;
      if (entry.size > (entry.compressedSize + 1) * MAX_RATIO)
        bad(name, 'a packed file unpacks to what it can', `${entry.size}`);
      if (entry.size > maxBytes) bad(name, `a packed file has at most ${maxBytes} bytes`, `${entry.size}`);
      return bufferSource(await inflate(packed, entry.size, abort), label);
    },
  };
}
