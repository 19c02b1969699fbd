import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { BackendError } from '../errors.ts';
import { type CurrentLibrary, nativeFolder } from './cache.ts';
import { hashMismatch, sha256OfFile } from './download.ts';
import { fetchWheels, projectOf, type WheelRequest } from './fetch-wheels.ts';
import { isPinned, pinOf } from './pins.ts';
import type { InstallProgress } from './progress.ts';
import { unpackWheel } from './unpack.ts';
import { parseWheelName } from './wheels.ts';

/** What decides which library is used. */
export interface LibraryRequest extends WheelRequest {
  wheel?: string | readonly string[];
  libraryDir?: string;
  cacheDir?: string;
  force?: boolean;
  onProgress: (progress: InstallProgress) => void;
}

/** Bytes that must be free: wheels and their unpacked content together, measured and rounded up. */
const NEEDED_BYTES = { cpu: 1.2e9, gpu: 12e9 } as const;
/** Unpacked bytes of the default builds, for the progress bar alone. */
const UNPACKED_BYTES = { cpu: 636e6, gpu: 6.4e9 } as const;

function checkLibraryFolder(folder: string): string {
  const files = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2', 'include/tensorflow/c/c_api.h'];
  const missing = files.filter((file) => !existsSync(join(folder, file)));
  if (missing.length === 0) return folder;
  throw new BackendError(
    'install-failed',
    `backend install: a library folder must be a wheel's unpacked tensorflow/; "${folder}" lacks ${missing.join(', ')}; name the folder that has them`,
  );
}

function useFolder(libraryDir: string, version: string, gpu: boolean): CurrentLibrary {
  const libraryFolder = checkLibraryFolder(resolve(libraryDir));
  const id = `folder-${createHash('sha256').update(libraryFolder).digest('hex').slice(0, 12)}`;
  return { id, libraryFolder, version, gpu };
}

/** Free blocks and their size, as the system reports them. */
export interface DiskSpace {
  bavail: number;
  bsize: number;
}

/** @throws BackendError when `folder`'s disk has not enough free bytes for an install */
export function checkSpace(folder: string, gpu: boolean, space: DiskSpace = statfsSync(folder)): void {
  const { bavail, bsize } = space;
  const needed = NEEDED_BYTES[gpu ? 'gpu' : 'cpu'];
  if (bavail * bsize >= needed) return;
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new BackendError(
    'install-failed',
    `backend install: ${gigabytes(needed)} must be free for the download and the library; "${folder}" has ` +
      `${gigabytes(bavail * bsize)}; free some, or name another cache with --cache-dir or RASS_CACHE`,
  );
}

/** What is unpacked is what was pinned, whatever its file is called. Of a version that is not pinned, the index's own hash was checked.
 * @param fetched what was fetched; undefined for wheels that the user has named */
async function checkPins(
  wheels: readonly string[],
  fetched: Pick<WheelRequest, 'version' | 'gpu'> | undefined,
): Promise<void> {
  const allPinned = fetched !== undefined && pinOf(projectOf(fetched), fetched.version) !== undefined;
  for (const wheel of wheels) {
    const name = parseWheelName(basename(wheel));
    const expected = name && pinOf(name.project, name.version);
    if (expected === undefined && !allPinned) continue;
    const found = await sha256OfFile(wheel);
    if (!isPinned(found) || (expected !== undefined && found !== expected))
      throw hashMismatch(basename(wheel), expected ?? 'of one of the pinned wheels', found);
  }
}

function givenWheels(wheel: string | readonly string[]): string[] {
  const wheels = [wheel].flat().map((file) => resolve(file));
  for (const file of wheels) {
    if (!existsSync(file)) {
      throw new BackendError('install-failed', `backend install: --wheel must name a file; "${file}" does not exist`);
    }
  }
  // TensorFlow's own wheel names the library; NVIDIA's go with it in any order.
  return wheels.sort((a, b) => Number(isTensorflow(b)) - Number(isTensorflow(a)));
}

function isTensorflow(wheel: string): boolean {
  return basename(wheel).startsWith('tensorflow');
}

/** Provides the native library: the user's folder, the cache's, or wheels unpacked into the cache. The folder appears
 * under its name only when it is whole. @throws BackendError */
export async function provideLibrary(request: LibraryRequest): Promise<CurrentLibrary & { isNew: boolean }> {
  const { version, gpu, cacheDir, onProgress } = request;
  if (request.libraryDir !== undefined) return { ...useFolder(request.libraryDir, version, gpu), isNew: false };
  const given = request.wheel === undefined ? undefined : givenWheels(request.wheel);
  const name = given && parseWheelName(basename(given[0]!));
  const id = name ? `${name.project}-${name.version}` : `${gpu ? 'tensorflow' : 'tensorflow_cpu'}-${version}`;
  const root = nativeFolder(cacheDir);
  const folder = join(root, id);
  const current = { id, libraryFolder: join(folder, 'tensorflow'), version: name?.version ?? version, gpu };
  if (existsSync(join(folder, 'complete.json')) && !request.force) return { ...current, isNew: false };

  mkdirSync(root, { recursive: true });
  // The lock is ours: what others have left here they were killed over.
  if (recoverStaging(root, folder, current) && !request.force) return { ...current, isNew: true };
  checkSpace(root, gpu);
  const staging = mkdtempSync(join(root, '.staging-'));
  try {
    const wheels = given ?? (await fetchWheels(request, staging, join(root, 'downloads')));
    await checkPins(wheels, given === undefined ? request : undefined);
    let bytes = 0;
    for (const wheel of wheels) {
      const total = Math.max(UNPACKED_BYTES[gpu ? 'gpu' : 'cpu'], bytes);
      await unpackWheel(wheel, join(staging, 'unpacked'), (count) => {
        bytes += count;
        onProgress({ stage: 'unpack', what: basename(wheel), done: bytes, total });
      });
    }
    checkLibraryFolder(join(staging, 'unpacked', 'tensorflow'));
    const record = { id, version: current.version, gpu, wheels: wheels.map((wheel) => basename(wheel)) };
    writeFileSync(join(staging, 'unpacked', 'complete.json'), `${JSON.stringify(record, null, 2)}\n`);
    replaceFolder(join(staging, 'unpacked'), folder, staging);
    for (const wheel of given ? [] : wheels) rmSync(wheel, { force: true });
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  return { ...current, isNew: true };
}

/** Removes the folders of installs that were killed. A library that was whole in one, and was not put in its place yet, is put there.
 * @returns whether there was one */
function recoverStaging(root: string, folder: string, { id }: CurrentLibrary): boolean {
  let recovered = false;
  for (const name of readdirSync(root).filter((each) => each.startsWith('.staging-'))) {
    const staging = join(root, name);
    const record = readRecord(join(staging, 'unpacked', 'complete.json'));
    if (record?.id === id && !existsSync(folder)) {
      renameSync(join(staging, 'unpacked'), folder);
      recovered = true;
    }
    rmSync(staging, { recursive: true, force: true });
  }
  return recovered;
}

function readRecord(path: string): { id?: unknown } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { id?: unknown };
  } catch {
    return undefined;
  }
}

/** Swaps a whole folder in; a process that has the old library mapped keeps it. */
function replaceFolder(from: string, to: string, staging: string): void {
  if (existsSync(to)) renameSync(to, join(staging, 'replaced'));
  renameSync(from, to);
}
