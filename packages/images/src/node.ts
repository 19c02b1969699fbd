import { extname, join } from 'node:path';
import { type DecodeImageOptions, type DecodeOptions, decodeImage, decodeLabels } from './codecs/decode.ts';
import type { LabelMap, RgbImage } from './image.ts';
import { readFolder, readRegularFile } from './regular-files.ts';

/** Reads an image's file: see decodeImage. @throws as it does, and when it is not there */
export const readImage = async (path: string, options: DecodeImageOptions = {}): Promise<RgbImage> =>
  decodeImage(await readRegularFile(path), { name: path, ...options });

/** Reads a label map's file: see decodeLabels. @throws as it does, and when it is not there */
export const readLabels = async (path: string, options: DecodeOptions = {}): Promise<LabelMap> =>
  decodeLabels(await readRegularFile(path), { name: path, ...options });

const ENDINGS = new Set(['.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp']);

/** What photographs and drawings are kept in besides, which is not read. */
const UNREAD_ENDINGS = new Set(
  'heic heif hif avif tif tiff gif bmp jp2 j2k jxl svg psd dng cr2 cr3 nef arw orf rw2 raf raw'
    .split(' ')
    .map((ending) => `.${ending}`),
);

/** Whether a file's name is an image's. */
export const isImageName = (name: string): boolean => ENDINGS.has(extname(name).toLowerCase());

/** What a folder and those in it have, as paths below it, in the order of their names; hidden ones are left out. */
export interface FolderImages {
  readonly images: readonly string[];
  /** Those whose format is not read, by their names: HEIC, AVIF, TIFF, GIF and others. */
  readonly unread: readonly string[];
}

/** Who is told of a folder that cannot be read. */
interface FindOptions {
  readonly onUnreadable?: (line: string) => void;
}

/** The images of a folder and of those in it, and those that cannot be read, so that they are not left out without a word. A folder in it that cannot be
 * read is told to `onUnreadable` and left out. @throws when one cannot be read, and is the folder itself or nobody is told */
export async function findImages(folder: string, { onUnreadable }: FindOptions = {}): Promise<FolderImages> {
  const images: string[] = [];
  const unread: string[] = [];
  const walk = async (below: string): Promise<void> => {
    for (const entry of await readFolder(join(folder, below), below === '' ? undefined : onUnreadable)) {
      if (entry.name.startsWith('.')) continue;
      const path = join(below, entry.name);
      if (entry.isDirectory()) await walk(path);
      else if (isImageName(entry.name)) images.push(path);
      else if (UNREAD_ENDINGS.has(extname(entry.name).toLowerCase())) unread.push(path);
    }
  };
  await walk('');
  return { images, unread };
}

/** The images of a folder that can be read; see findImages. */
export const listImages = async (folder: string): Promise<string[]> => [...(await findImages(folder)).images];

/** How many names are told. */
const NAMED = 5;

/** A line about images whose format is not read, or undefined where there is none. */
export function unreadLine(unread: readonly string[]): string | undefined {
  if (unread.length === 0) return undefined;
  const more = unread.length > NAMED ? ', ...' : '';
  const names = unread.slice(0, NAMED).join(', ');
  return `${unread.length} images are in formats that are not read: ${names}${more}; convert them to JPEG, PNG or WebP`;
}
