import { stat } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { findImages, unreadLine } from '@rass/images/node';

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

/** A folder's images by their paths below it without ending, and a line about those that are not read.
 * @throws when there is none, or two differ in their ending alone */
export async function imagesOfFolder(folder: string): Promise<{ files: Map<string, string>; leftOut?: string[] }> {
  if (!(await isFolder(folder))) throw new Error(`${folder}: it is a folder of images; got no folder; check the path`);
  const found = new Map<string, string>();
  const { images, unread } = await findImages(folder);
  for (const path of images) {
    const other = found.get(stem(path));
    if (other !== undefined) {
      throw new Error(`${folder}: images have names of their own; got ${other} and ${path}; rename one`);
    }
    found.set(stem(path), path);
  }
  const line = unreadLine(unread);
  if (found.size > 0) return { files: found, ...(line && { leftOut: [`${folder}: ${line}`] }) };
  throw new Error(`${folder}: a folder has images; got ${line ?? 'none; .jpg, .png and .webp are read'}`);
}

/** What another folder has for each of the images. @throws naming the first ones that it lacks */
export async function matching(
  images: ReadonlyMap<string, string>,
  folder: string,
  what: string,
): Promise<ReadonlyMap<string, string>> {
  const { files: others } = await imagesOfFolder(folder);
  const missing = [...images.keys()].filter((name) => !others.has(name));
  if (missing.length === 0) return others;
  throw new Error(
    `${folder}: each image has ${what} of its name; got none for ${missing.length}: ${missing.slice(0, 3).join(', ')}; add them, or leave the images out`,
  );
}
