import { join } from 'node:path';
import { IGNORE_LABEL, type LabelMap } from '@rass/images';
import { readImage, readLabels } from '@rass/images/node';
import { ADE20K_CLASSES } from '../classes/ade20k.ts';
import { checkedSample, checkIndex, type Dataset } from '../dataset.ts';
import { readClasses } from './classes-file.ts';
import { imagesOfFolder, isFolder, matching } from './files.ts';

export interface Ade20kOptions {
  /** The folder below images/ and annotations/, such as `training` or `validation`; default none. */
  readonly split?: string;
  /** Label 0 is nothing, and the others are one less; default: unless the folder has classes.json. */
  readonly reduceZeroLabel?: boolean;
  /** Where the images are bad ones: the folder of the good ones beside images/. Default `clean`, where it is there. */
  readonly clean?: string;
}

/** ADE20K's files number classes from 1; 0 is nothing. @source mmsegmentation reduce_zero_label */
export function reduceZeroLabel({ width, height, data }: LabelMap): LabelMap {
  return {
    width,
    height,
    data: data.map((label) => (label === 0 || label === IGNORE_LABEL ? IGNORE_LABEL : label - 1)),
  };
}

/** A data set in ADE20K's layout, as RealLQ is too: `images/<split>/x.jpg` with `annotations/<split>/x.png`. A folder `classes.json` beside
 * them names other classes than ADE20K's, of labels that count from 0. With a folder `clean/<split>` the images are bad photographs of those there.
 * @throws when a folder is not there, is empty, or an image has no labels */
export async function openAde20k(root: string, options: Ade20kOptions = {}): Promise<Dataset> {
  const { split = '', clean = 'clean' } = options;
  const [images, annotations, good] = ['images', 'annotations', clean].map((each) => join(root, each, split)) as [
    string,
    string,
    string,
  ];
  const [{ files, ...rest }, own] = [await imagesOfFolder(images), await readClasses(root)];
  const labels = await matching(files, annotations, 'labels');
  const hasClean = await isFolder(good);
  if (options.clean !== undefined && !hasClean) {
    throw new Error(`${good}: it is the folder of good photographs; got no folder; leave clean out, or add it`);
  }
  const cleanFiles = hasClean ? await matching(files, good, 'a good photograph') : undefined;
  const names = [...files.keys()];
  const reduce = options.reduceZeroLabel ?? own === undefined;
  const getLabels = async (index: number): Promise<LabelMap> => {
    checkIndex(index, names.length);
    const numbers = await readLabels(join(annotations, labels.get(names[index]!)!));
    return reduce ? reduceZeroLabel(numbers) : numbers;
  };
  return {
    length: names.length,
    classes: own ?? ADE20K_CLASSES,
    names,
    zeroIsNothing: reduce,
    getLabels,
    ...rest,
    async get(index) {
      const numbers = await getLabels(index);
      const name = names[index]!;
      const path = join(images, files.get(name)!);
      const image = await readImage(path);
      const pair = cleanFiles && { image: await readImage(join(good, cleanFiles.get(name)!)), degraded: image };
      return checkedSample({ id: path, image, labels: numbers, ...pair });
    },
  };
}
