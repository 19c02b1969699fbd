import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { type DecodeOptions, decodeImage, decodeLabels } from './codecs/decode.ts';
import type { LabelMap, RgbImage } from './image.ts';

/** Reads an image's file: see decodeImage. @throws as it does, and when it is not there */
export const readImage = async (path: string, options: DecodeOptions = {}): Promise<RgbImage> =>
  decodeImage(await readFile(path), { name: path, ...options });

/** Reads a label map's file: see decodeLabels. @throws as it does, and when it is not there */
export const readLabels = async (path: string, options: DecodeOptions = {}): Promise<LabelMap> =>
  decodeLabels(await readFile(path), { name: path, ...options });

const ENDINGS = new Set(['.jpg', '.jpeg', '.jpe', '.png', '.webp']);

/** Whether a file's name is an image's. */
export const isImageName = (name: string): boolean => ENDINGS.has(extname(name).toLowerCase());

/** The images of a folder and of those in it, as paths below it, in the order of their names; hidden ones are left out. */
export async function listImages(folder: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (below: string): Promise<void> => {
    const entries = await readdir(join(folder, below), { withFileTypes: true });
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue;
      const path = join(below, entry.name);
      if (entry.isDirectory()) await walk(path);
      else if (isImageName(entry.name)) found.push(path);
    }
  };
  await walk('');
  return found;
}
