import { shown } from '@rass/nn';
import { WeightsError } from '../error.ts';
import { type ByteSource, blobSource } from './byte-source.ts';
import { parseJson } from './parse-json.ts';
import { type UrlSourceOptions, urlSource } from './url-source.ts';

/** Files by their path inside a folder, with / between the steps: a model's folder on disk, on the web, in memory. */
export interface ByteFolder {
  readonly name: string;
  /** Opens a file; undefined when it is not there. `first`: what will be read first, for a folder that fetches something as it opens;
   * `maxBytes`: of a file that it has to fetch whole. */
  open(
    path: string,
    signal?: AbortSignal,
    first?: readonly [start: number, end: number],
    maxBytes?: number,
  ): Promise<ByteSource | undefined>;
}

/** Refuses a path that leaves its folder: an index or a config may come from anyone.
 * @throws WeightsError `BadPath` */
export function checkInside(path: string): string {
  const steps = path.split('/');
  if (path !== '' && !/[\\:\0]/.test(path) && steps.every((step) => step !== '' && step !== '.' && step !== '..')) {
    return path;
  }
  throw new WeightsError('BadPath', `folder: a file's path stays inside the folder; got ${shown(path)}`);
}

/** A folder on the web: `https://host/model/` holds `unet/config.json`. */
export function urlFolder(base: string | URL, options: UrlSourceOptions = {}): ByteFolder {
  const root = new URL(base);
  if (!root.pathname.endsWith('/')) root.pathname += '/';
  return {
    // As messages and keys have it: with one / before a file's path.
    name: root.href.replace(/\/(?=\?|$)/, ''),
    async open(path, signal = options.signal, first = options.first, maxBytes = options.maxBytes) {
      const steps = checkInside(path).split('/').map(encodeURIComponent);
      const url = new URL(steps.join('/'), root);
      // A folder's own query, such as a token, belongs to its files too.
      url.search = root.search;
      try {
        return await urlSource(url, { ...options, signal, first, maxBytes });
      } catch (error) {
        if (error instanceof WeightsError && error.rule === 'NotFound') return undefined;
        throw error;
      }
    },
  };
}

/** A folder of Blobs or Files, such as a page's `<input type="file" webkitdirectory>` gives. */
export function blobFolder(
  files: ReadonlyMap<string, Blob> | Readonly<Record<string, Blob>>,
  name = 'files',
): ByteFolder {
  const byPath = files instanceof Map ? files : new Map(Object.entries(files));
  return {
    name,
    async open(path) {
      const blob = byPath.get(checkInside(path));
      return blob === undefined ? undefined : blobSource(blob, `${name}/${path}`);
    },
  };
}

/** The text of a small file of a folder; undefined when it is not there. @throws WeightsError `TooLarge` */
export async function readText(folder: ByteFolder, path: string, maxBytes = 16 << 20): Promise<string | undefined> {
  const source = await folder.open(path, undefined, undefined, maxBytes);
  if (source === undefined) return undefined;
  try {
    if (source.size > maxBytes) {
      throw new WeightsError(
        'TooLarge',
        `${source.name}: a text file has at most ${maxBytes} bytes; got ${source.size}`,
      );
    }
    return new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    await source.close();
  }
}

// A few kilobytes are usual; a tokenizer's has 4 MB.
const MAX_JSON_BYTES = 8 << 20;

/** A small JSON file of a folder; undefined when it is not there. @throws WeightsError `BadJson`, `TooLarge` */
export async function readJson(folder: ByteFolder, path: string): Promise<unknown> {
  const text = await readText(folder, path, MAX_JSON_BYTES);
  if (text === undefined) return undefined;
  try {
    return parseJson(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WeightsError('BadJson', `${folder.name}/${path}: the file is JSON; got "${reason}"`, { cause });
  }
}
