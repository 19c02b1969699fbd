import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, parse, relative, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { findImages, unreadLine } from '@rass/images/node';
import { isInside, isSame } from '../files.ts';
import { isMap, knownResults } from './results.ts';

/** An image that was found. */
export interface Input {
  readonly path: string;
  /** The folder that it was found in, or lies in where it was named itself. */
  readonly root: string;
  /** Its path below that folder. */
  readonly below: string;
  /** It stood in a list: what else is asked for does not change what its results are called. */
  readonly isListed?: boolean;
}

export interface Inputs {
  readonly images: readonly Input[];
  /** A line for each folder some of whose pictures are results, or cannot be read. */
  readonly leftOut: readonly string[];
}

/** What stands in a list. */
export interface Listed {
  /** The list's folder, or the current one for standard input. */
  readonly folder: string;
  readonly paths: readonly string[];
}

/** The paths of a list: a line each, or, where it has zero bytes, what they end, as `find -print0` prints. What follows a tab is
 * left out, as are empty lines and, of a file, those that begin with #. They are relative to the list's folder, or to the current one.
 * @throws when it cannot be read or names nothing */
export async function listedPaths(list: string): Promise<Listed> {
  const piped = list === '-';
  const whole = piped ? await text(process.stdin) : await readFile(list, 'utf8');
  const lines = whole.includes('\0') ? whole.split('\0') : whole.split(/\r?\n/).map((line) => line.split('\t')[0]!);
  const paths = lines.filter((line) => line.trim() !== '' && (piped || !line.startsWith('#')));
  const name = piped ? 'standard input' : list;
  if (paths.length === 0)
    throw new Error(`${name}: a list has a path on each line; got none; write one for each image`);
  const folder = resolve(piped ? '.' : dirname(list));
  return { folder, paths: piped ? paths : paths.map((path) => resolve(folder, path)) };
}

/** The photographs of a folder: what earlier runs wrote there is left out. Of a folder of results that is itself given, restored pictures
 * are photographs and label maps and overlays are not. */
async function ofFolder(folder: string, out: string | undefined): Promise<Inputs> {
  const unreadable: string[] = [];
  const { images: all, unread } = await findImages(folder, { onUnreadable: (line) => unreadable.push(line) });
  const below = all.filter((name) => out === undefined || !isInside(join(folder, name), out));
  const known = await knownResults(folder, below);
  const isResult = (name: string): boolean => {
    const from = known.get(resolve(folder, name));
    return from !== undefined && (isInside(from, folder) || isMap(relative(from, resolve(folder, name))));
  };
  const images = below.filter((name) => !isResult(name));
  const count = below.length - images.length;
  if (images.length === 0) {
    const got = count === 0 ? 'none' : `${count} results of earlier runs alone`;
    const others = unreadLine(unread);
    if (others !== undefined) throw new Error(`${folder}: a folder has images, .jpg, .png or .webp; got ${others}`);
    throw new Error(`${folder}: a folder has images, .jpg, .png or .webp; got ${got}; give another`);
  }
  return {
    images: images.map((name) => ({ path: join(folder, name), root: resolve(folder), below: name })),
    leftOut: [
      ...unreadable,
      ...(count === 0 ? [] : [`${folder}: ${count} pictures are results of earlier runs and are left out`]),
      ...[unreadLine(unread)].flatMap((line) => (line === undefined ? [] : [`${folder}: ${line}`])),
    ],
  };
}

/** A listed image, by its path below a folder or, where it lies elsewhere, by its whole path: the same whatever else is listed. */
function listedBelow(folder: string, { path }: Input): Input {
  const whole = resolve(path);
  const root = isInside(whole, folder) ? folder : parse(whole).root;
  return { path, root, below: relative(root, whole), isListed: true };
}

/** The images that files and folders stand for, given or listed, each once; what lies in the folder of results is left out.
 * @throws when an input is neither, a folder has no photograph, or results would lie among the photographs */
export async function findInputs(given: readonly string[], out?: string, listed?: Listed): Promise<Inputs> {
  const images = new Map<string, Input>();
  const leftOut: string[] = [];
  for (const [i, input] of [...given, ...(listed?.paths ?? [])].entries()) {
    const entry = await stat(input).catch(() => undefined);
    if (entry === undefined || !(entry.isFile() || entry.isDirectory())) {
      const got = entry === undefined ? 'nothing' : 'neither';
      throw new Error(`${input}: an input is a file or a folder; got ${got}; check the path`);
    }
    if (entry.isDirectory() && out !== undefined && isSame(out, input)) {
      throw new Error(
        `${out}: results lie in a folder of their own; got that of the images; name another, such as ${join(out, 'results')}`,
      );
    }
    const found = entry.isDirectory()
      ? await ofFolder(input, out)
      : { images: [{ path: input, root: dirname(resolve(input)), below: basename(input) }], leftOut: [] };
    for (const line of found.leftOut) leftOut.push(line);
    const place = (image: Input): Input =>
      listed !== undefined && i >= given.length ? listedBelow(listed.folder, image) : image;
    for (const image of found.images)
      if (!images.has(resolve(image.path))) images.set(resolve(image.path), place(image));
  }
  return { images: [...images.values()], leftOut };
}
