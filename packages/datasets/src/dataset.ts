import type { Colour, LabelMap, RgbImage } from '@rass/images';

/** A class of a data set's labels. */
export interface DatasetClass {
  readonly name: string;
  readonly colour: Colour;
}

export interface DatasetSample {
  /** What logs and errors call it: a path, most often. */
  readonly id: string;
  /** The good photograph; where there are only bad ones, that. */
  readonly image: RgbImage;
  /** Places in the classes; 255 is ignored. Of the image's size. */
  readonly labels?: LabelMap;
  /** Where there are pairs: the bad photograph, of the image's size. */
  readonly degraded?: RgbImage;
}

/** Images one by one, by number. */
export interface Dataset {
  /** How many there are; undefined: no end. */
  readonly length: number | undefined;
  /** Of its labels; none where it has no labels. */
  readonly classes: readonly DatasetClass[];
  /** Lines about what lies beside its files and is not read, such as HEIC. */
  readonly leftOut?: readonly string[];
  /** @throws when a file is not there or broken, or sizes differ */
  get(index: number): Promise<DatasetSample>;
  /** The labels of a sample alone, where they can be read without its image; undefined where it has none. */
  getLabels?(index: number): Promise<LabelMap | undefined>;
  /** Of a set with labels: what the samples without any are called. */
  readonly unlabelled?: readonly string[];
  /** What the samples are called in the set, in their order, wherever the set lies. */
  readonly names?: readonly string[];
  /** Whether labels count from 1 in its files, 0 being nothing, as ADE20K's do. */
  readonly zeroIsNothing?: boolean;
}

/** Whether two lists have the same names in the same order. */
export const haveSameNames = (a: readonly DatasetClass[], b: readonly DatasetClass[]): boolean =>
  a.length === b.length && a.every(({ name }, i) => name === b[i]!.name);

/** Data sets one behind the other. @throws when there is none, one but the last has no end, or their classes differ */
export function concatDatasets(datasets: readonly Dataset[]): Dataset {
  const [first, ...others] = datasets;
  if (first === undefined) throw new Error('concatDatasets: at least one data set; got none; give one');
  const other = others.find((each) => !haveSameNames(each.classes, first.classes));
  if (other !== undefined) {
    throw new Error(
      `concatDatasets: all have the same classes; got ${first.classes.length} and ${other.classes.length}, or other names; bring them to the same by relabelDataset`,
    );
  }
  if (datasets.slice(0, -1).some(({ length }) => length === undefined)) {
    throw new Error(
      'concatDatasets: all but the last have an end; got one without; put it last, or take a subset of it',
    );
  }
  const lengths = datasets.map(({ length }) => length);
  const total = lengths.some((length) => length === undefined)
    ? undefined
    : lengths.reduce<number>((a, b) => a + b!, 0);
  return {
    length: total,
    classes: first.classes,
    get(index) {
      checkIndex(index, total);
      let at = index;
      for (const dataset of datasets) {
        if (dataset.length === undefined || at < dataset.length) return dataset.get(at);
        at -= dataset.length;
      }
      return first.get(index);
    },
  };
}

/** Some samples of a data set, in an order of their own. @throws when one is not there */
export function subsetDataset(dataset: Dataset, indices: readonly number[]): Dataset {
  for (const index of indices) checkIndex(index, dataset.length);
  return {
    length: indices.length,
    classes: dataset.classes,
    get(index) {
      checkIndex(index, indices.length);
      return dataset.get(indices[index]!);
    },
  };
}

/** @throws when it is no number of a sample */
export function checkIndex(index: number, length: number | undefined): void {
  if (Number.isInteger(index) && index >= 0 && (length === undefined || index < length)) return;
  throw new Error(
    `dataset: samples are numbered from 0 to ${(length ?? Number.POSITIVE_INFINITY) - 1}; got ${index}; take one of them`,
  );
}

/** A sample whose images are of one size. @throws when they are not */
export function checkedSample(sample: DatasetSample): DatasetSample {
  const { id, image, labels, degraded } = sample;
  for (const [what, other] of [
    ['labels', labels],
    ['the bad photograph', degraded],
  ] as const) {
    if (other === undefined || (other.width === image.width && other.height === image.height)) continue;
    const sizes = `${other.width} x ${other.height} for ${image.width} x ${image.height}`;
    throw new Error(`${id}: ${what} and image have one size; got ${sizes}; mend or leave out this sample`);
  }
  return sample;
}
