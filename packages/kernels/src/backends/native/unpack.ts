import { createWriteStream, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { type Entry, type Options, open, type ZipFile } from 'yauzl';
import { BackendError } from '../errors.ts';

/** What the addon needs of a TensorFlow wheel (two libraries, the C headers, the notices) and of NVIDIA's wheels
 * (libraries and licences). The rest, a Python program of several hundred MB, stays packed. */
const NEEDED = [
  /^tensorflow\/libtensorflow_(cc|framework)\.so\.2$/,
  /^tensorflow\/THIRD_PARTY_NOTICES\.txt$/,
  /^tensorflow\/include\/(tensorflow\/(c|core\/platform|tsl\/(c|platform))|tsl\/(c|platform)|xla\/tsl\/c)\/.*\.h$/,
  /^nvidia\/.*\.so(\.\d+)*$/,
  /^nvidia\/.*licen[cs]e[^/]*$/i,
  /^[^/]+\.dist-info\/(.*\/)?(licen[cs]e|notice)[^/]*$/i,
];

function openZip(file: string): Promise<ZipFile> {
  const options: Options = { lazyEntries: true, autoClose: false, strictFileNames: true };
  return new Promise((resolve, reject) => {
    open(file, options, (error, zip) => (error ? reject(error) : resolve(zip)));
  });
}

function readStream(zip: ZipFile, entry: Entry) {
  return new Promise<Readable>((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => (error ? reject(error) : resolve(stream)));
  });
}

async function* entries(zip: ZipFile): AsyncGenerator<Entry> {
  while (true) {
    const next = await new Promise<Entry | undefined>((resolve, reject) => {
      const settle = (action: () => void) => {
        zip.removeAllListeners('entry').removeAllListeners('end').removeAllListeners('error');
        action();
      };
      zip.once('entry', (entry: Entry) => settle(() => resolve(entry)));
      zip.once('end', () => settle(() => resolve(undefined)));
      zip.once('error', (error: Error) => settle(() => reject(error)));
      zip.readEntry();
    });
    if (next === undefined) return;
    yield next;
  }
}

async function extract(zip: ZipFile, entry: Entry, folder: string, onBytes: (count: number) => void): Promise<void> {
  const target = join(folder, entry.fileName);
  mkdirSync(dirname(target), { recursive: true });
  let sum = 0;
  const check = async function* (source: AsyncIterable<Buffer>) {
    for await (const chunk of source) {
      sum = crc32(chunk, sum);
      onBytes(chunk.length);
      yield chunk;
    }
  };
  await pipeline(await readStream(zip, entry), check, createWriteStream(target));
  if (sum !== entry.crc32) {
    throw new BackendError(
      'install-failed',
      `backend install: a packed file must match its checksum; "${entry.fileName}" does not; fetch the wheel again`,
    );
  }
}

/** Unpacks from a wheel what the native backend needs, below `folder`; returns the names. @throws BackendError */
export async function unpackWheel(wheel: string, folder: string, onBytes: (count: number) => void): Promise<string[]> {
  let zip: ZipFile;
  try {
    zip = await openZip(wheel);
  } catch (error) {
    throw new BackendError(
      'install-failed',
      `backend install: a wheel must be a zip file; "${wheel}" cannot be read (${(error as Error).message}); fetch it again`,
      { cause: error },
    );
  }
  try {
    const names: string[] = [];
    for await (const entry of entries(zip)) {
      if (!NEEDED.some((pattern) => pattern.test(entry.fileName))) continue;
      await extract(zip, entry, folder, onBytes);
      names.push(entry.fileName);
    }
    return names;
  } finally {
    zip.close();
  }
}

/** The text of a wheel's METADATA file. @throws BackendError where the wheel has none */
export async function wheelMetadata(wheel: string): Promise<string> {
  const zip = await openZip(wheel);
  try {
    for await (const entry of entries(zip)) {
      if (!/^[^/]+\.dist-info\/METADATA$/.test(entry.fileName)) continue;
      const chunks: Buffer[] = [];
      for await (const chunk of await readStream(zip, entry)) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString('utf8');
    }
  } finally {
    zip.close();
  }
  throw new BackendError('install-failed', `backend install: a wheel must hold METADATA; "${wheel}" has none`);
}
