import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Which library the last install chose; kept in the cache as `native/current.json`. */
export interface CurrentLibrary {
  /** Name of the folder below `native/` that holds the addons linked against this library. */
  id: string;
  /** Folder with libtensorflow_cc.so.2 and include/; absolute where the user named one of their own. */
  libraryFolder: string;
  /** TensorFlow's version, as asked for. */
  version: string;
  /** Whether it is the CUDA build. */
  gpu: boolean;
}

/** The folder for everything that is downloaded or built: the argument, RASS_CACHE, or `rass` in the user's cache. */
export function cacheFolder(cacheDir?: string): string {
  const chosen = cacheDir ?? process.env['RASS_CACHE'];
  if (chosen) return resolve(chosen);
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'rass');
}

/** The part of the cache that belongs to native TensorFlow. */
export function nativeFolder(cacheDir?: string): string {
  return join(cacheFolder(cacheDir), 'native');
}

/** What the last install chose, or undefined where nothing was installed. */
export function readCurrent(cacheDir?: string): CurrentLibrary | undefined {
  try {
    return JSON.parse(readFileSync(join(nativeFolder(cacheDir), 'current.json'), 'utf8')) as CurrentLibrary;
  } catch {
    return undefined;
  }
}

/** Records the choice; written beside and renamed, so that a reader never sees half of it. */
export function writeCurrent(current: CurrentLibrary, cacheDir?: string): void {
  const folder = nativeFolder(cacheDir);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'current.json');
  writeFileSync(`${file}.${process.pid}`, `${JSON.stringify(current, null, 2)}\n`);
  renameSync(`${file}.${process.pid}`, file);
}

/** Where the addon of a library and a build key lies. */
export function addonPath(id: string, key: string, cacheDir?: string): string {
  return join(nativeFolder(cacheDir), id, `tfjs_binding-${key}.node`);
}
