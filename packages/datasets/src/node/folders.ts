import { dirname, isAbsolute, join } from 'node:path';
import type { LabelMap } from '@rass/images';
import { readImage, readLabels } from '@rass/images/node';
import { ADE20K_CLASSES } from '../classes/ade20k.ts';
import { checkedSample, checkIndex, type Dataset } from '../dataset.ts';
import { reduceZeroLabel } from './ade20k.ts';
import { readClasses } from './classes-file.ts';
import { imagesOfFolder, matching } from './files.ts';
import { readTextFile } from './json-file.ts';

/** Images without labels: those of a folder and of the folders in it. @throws when there is none */
export async function openFolder(root: string): Promise<Dataset> {
  const { files: found, ...rest } = await imagesOfFolder(root);
  const files = [...found.values()];
  return {
    length: files.length,
    classes: [],
    names: files,
    ...rest,
    async get(index) {
      checkIndex(index, files.length);
      const path = join(root, files[index]!);
      return { id: path, image: await readImage(path) };
    },
  };
}

/** Bad photographs and good ones of the same names, in two folders. @throws when a folder is empty, or a bad one has no good one */
export async function openPairs({ degraded, clean }: { degraded: string; clean: string }): Promise<Dataset> {
  const { files, ...rest } = await imagesOfFolder(degraded);
  const good = await matching(files, clean, 'a good photograph');
  const names = [...files.keys()];
  return {
    length: names.length,
    classes: [],
    names,
    ...rest,
    async get(index) {
      checkIndex(index, names.length);
      const name = names[index]!;
      const path = join(degraded, files.get(name)!);
      return checkedSample({
        id: path,
        image: await readImage(join(clean, good.get(name)!)),
        degraded: await readImage(path),
      });
    },
  };
}

interface ListRow {
  readonly image: string;
  readonly labels?: string;
}

/** A line of a list: an image, and its labels after a tab or, where neither path has one, a space. */
function parseLine(line: string, where: string): ListRow {
  const parts = line.includes('\t') ? line.split('\t') : line.split(/\s+/);
  const [image, labels, ...others] = parts.map((part) => part.trim()).filter((part) => part !== '');
  if (image !== undefined && others.length === 0) return { image, ...(labels !== undefined && { labels }) };
  throw new Error(
    `${where}: a line is an image and, after a tab, its labels; got "${line}"; separate paths by one tab`,
  );
}

/** A data set by a text file: on each line an image and, after a tab or space, its label map; paths are relative to the file. Empty lines and those
 * that begin with # are left out. Classes are those of classes.json beside the list, or ADE20K's, whose labels count from 1.
 * @throws when the file is not there, is empty, or a line is neither */
export async function openList(file: string): Promise<Dataset> {
  const text = await readTextFile(file, 'a list');
  const rows = text.split(/\r?\n/).flatMap((line, i) => {
    const trimmed = line.trim();
    return trimmed === '' || trimmed.startsWith('#') ? [] : [parseLine(trimmed, `${file}:${i + 1}`)];
  });
  if (rows.length === 0) throw new Error(`${file}: a list has lines; got none; write one for each image`);
  const labelled = rows.some(({ labels }) => labels !== undefined);
  const own = await readClasses(dirname(file));
  const at = (path: string): string => (isAbsolute(path) ? path : join(dirname(file), path));
  const getLabels = async (index: number): Promise<LabelMap | undefined> => {
    checkIndex(index, rows.length);
    const { labels } = rows[index]!;
    if (labels === undefined) return undefined;
    const numbers = await readLabels(at(labels));
    return own === undefined ? reduceZeroLabel(numbers) : numbers;
  };
  const unlabelled = labelled ? rows.filter(({ labels }) => labels === undefined) : [];
  return {
    length: rows.length,
    classes: labelled ? (own ?? ADE20K_CLASSES) : [],
    names: rows.map(({ image }) => image),
    ...(unlabelled.length > 0 && { unlabelled: unlabelled.map(({ image }) => image) }),
    zeroIsNothing: own === undefined,
    getLabels,
    async get(index) {
      checkIndex(index, rows.length);
      const path = at(rows[index]!.image);
      const image = await readImage(path);
      const labels = await getLabels(index);
      return labels === undefined ? { id: path, image } : checkedSample({ id: path, image, labels });
    },
  };
}
