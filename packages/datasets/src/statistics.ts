import { IGNORE_LABEL } from '@rass/images';
import type { Dataset, DatasetSample } from './dataset.ts';
import { countLabels, labelFault } from './label-faults.ts';

export interface ClassStatistics {
  readonly name: string;
  readonly pixels: number;
  /** Of all pixels with a class. */
  readonly share: number;
  /** Images that have any of it. */
  readonly images: number;
}

export interface DatasetStatistics {
  readonly images: number;
  readonly labelled: number;
  readonly pairs: number;
  /** Of labelled images. */
  readonly ignoredShare: number;
  readonly widths: readonly [least: number, median: number, most: number];
  readonly heights: readonly [least: number, median: number, most: number];
  readonly classes: readonly ClassStatistics[];
  /** A line for each sample that could not be read, or whose labels are no classes, and one where labels of all samples together tell nothing apart;
   * and for images in formats that are not read. */
  readonly problems: readonly string[];
}

export interface StatisticsOptions {
  /** At most so many samples, evenly spread; default all. */
  readonly samples?: number;
  readonly onSample?: (index: number, sample: DatasetSample | undefined, count: number) => void;
}

const spread = (values: readonly number[]): [number, number, number] => {
  const sorted = values.toSorted((a, b) => a - b);
  return [sorted[0] ?? 0, sorted[sorted.length >> 1] ?? 0, sorted.at(-1) ?? 0];
};

class Counter {
  readonly #classes: Dataset['classes'];
  readonly #pixels: number[];
  readonly #images: number[];
  #ignored = 0;
  #all = 0;

  constructor(classes: Dataset['classes']) {
    this.#classes = classes;
    this.#pixels = classes.map(() => 0);
    this.#images = classes.map(() => 0);
  }

  /** @returns what is wrong with the labels */
  add({ id, labels }: DatasetSample): string | undefined {
    if (labels === undefined) return undefined;
    const counts = new Array<number>(IGNORE_LABEL + 1).fill(0);
    for (const label of labels.data) counts[label]! += 1;
    const wrong = counts.findIndex(
      (count, label) => count > 0 && label >= this.#classes.length && label < IGNORE_LABEL,
    );
    if (wrong >= 0) {
      return `${id}: labels are from 0 to ${this.#classes.length - 1}, or ${IGNORE_LABEL}; got ${wrong} in ${counts[wrong]} pixels; mend them`;
    }
    this.#ignored += counts[IGNORE_LABEL]!;
    this.#all += labels.data.length;
    this.#classes.forEach((_, label) => {
      this.#pixels[label]! += counts[label]!;
      if (counts[label]! > 0) this.#images[label]! += 1;
    });
    return undefined;
  }

  finish(): { classes: ClassStatistics[]; ignoredShare: number } {
    const sum = this.#pixels.reduce((a, b) => a + b, 0);
    const classes = this.#classes.map(({ name }, label) => {
      const pixels = this.#pixels[label]!;
      return { name, pixels, share: sum === 0 ? 0 : pixels / sum, images: this.#images[label]! };
    });
    return { classes, ignoredShare: this.#all === 0 ? 0 : this.#ignored / this.#all };
  }
}

/** Reads a data set and counts what is in it; what is broken is listed, not thrown. @throws when an endless one is to be read whole */
export async function datasetStatistics(dataset: Dataset, options: StatisticsOptions = {}): Promise<DatasetStatistics> {
  const available = dataset.length ?? options.samples;
  if (available === undefined) {
    throw new Error('datasetStatistics: a data set without an end is read in part; got no number; give samples');
  }
  const count = Math.min(available, options.samples ?? available);
  const counter = new Counter(dataset.classes);
  const problems: string[] = [...(dataset.leftOut ?? [])];
  const [widths, heights]: [number[], number[]] = [[], []];
  const pixels = new Map<number, number>();
  let [labelled, pairs] = [0, 0];
  for (let i = 0; i < count; i++) {
    const index = dataset.length === undefined ? i : Math.floor((i * available) / count);
    const sample = await dataset.get(index).catch((error: unknown) => {
      problems.push(error instanceof Error ? error.message : String(error));
      return undefined;
    });
    options.onSample?.(index, sample, count);
    if (sample === undefined) continue;
    widths.push(sample.image.width);
    heights.push(sample.image.height);
    if (sample.labels !== undefined) {
      labelled += 1;
      countLabels(sample.labels, pixels);
    }
    if (sample.degraded !== undefined) pairs += 1;
    const problem = counter.add(sample);
    if (problem !== undefined) problems.push(problem);
  }
  const fault = labelFault(dataset, { maps: labelled, pixels });
  if (fault !== undefined) problems.push(fault.message);
  return {
    images: widths.length,
    labelled,
    pairs,
    widths: spread(widths),
    heights: spread(heights),
    ...counter.finish(),
    problems,
  };
}
