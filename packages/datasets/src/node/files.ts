import { stat } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { listImages } from '@rass/images/node';

export const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );

/** A path without its ending. */
export function stem(path: string): string {
  const { dir, name } = parse(path);
  return join(dir, name);
}

/** A folder's images by their paths below it without ending. @throws when there is none, or two differ in their ending alone */
export async function imagesByStem(folder: string): Promise<Map<string, string>> {
  if (!(await isFolder(folder))) throw new Error(`${folder}: it is a folder of images; got no folder; check the path`);
  const found = new Map<string, string>();
  for (const path of await listImages(folder)) {
    const other = found.get(stem(path));
    if (other !== undefined) {
      throw new Error(`${folder}: images have names of their own; got ${other} and ${path}; rename one`);
    }
    found.set(stem(path), path);
  }
  if (found.size === 0) throw new Error(`${folder}: a folder has images; got none; .jpg, .png and .webp are read`);
  return found;
}

/** What another folder has for each of the images. @throws naming the first ones that it lacks */
export async function matching(
  images: ReadonlyMap<string, string>,
  folder: string,
  what: string,
): Promise<ReadonlyMap<string, string>> {
  const others = await imagesByStem(folder);
  const missing = [...images.keys()].filter((name) => !others.has(name));
  if (missing.length === 0) return others;
  throw new Error(
    `${folder}: each image has ${what} of its name; got none for ${missing.length}: ${missing.slice(0, 3).join(', ')}; add them, or leave the images out`,
  );
}
