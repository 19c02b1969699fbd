import type { DatasetClass } from '@rass/datasets';
import { IGNORE_LABEL, type LabelMap, type RgbImage } from '@rass/images';
import type { Pipeline } from '../pipeline.ts';

/** What of an image is of a class. */
export interface ClassArea {
  readonly label: number;
  readonly name: string;
  readonly pixels: number;
  /** Of all pixels. */
  readonly share: number;
}

/** The classes that a label map has, the largest first. */
export function classAreas({ data }: LabelMap, classes: readonly DatasetClass[]): ClassArea[] {
  const counts = new Array<number>(IGNORE_LABEL + 1).fill(0);
  for (const label of data) counts[label]! += 1;
  return classes
    .map(({ name }, label) => ({ label, name, pixels: counts[label]!, share: counts[label]! / data.length }))
    .filter(({ pixels }) => pixels > 0)
    .sort((a, b) => b.pixels - a.pixels || a.label - b.label);
}

/** Classes with less of an image are not named in a prompt. */
const LEAST_SHARE = 0.01;

/** The names of the classes that a label map has enough of. */
export const namesOf = (labels: LabelMap, classes: readonly DatasetClass[]): string[] =>
  classAreas(labels, classes)
    .filter(({ share }) => share >= LEAST_SHARE)
    .map(({ name }) => name);

/** What is to be named: a photograph as the model gets it, and its labels where they are known. */
export interface Shown {
  readonly image: RgbImage;
  readonly labels?: LabelMap;
}

/** Names what a photograph shows, for its prompt: the one place where tags come from. */
export type Tagger = (shown: Shown) => Promise<readonly string[]>;

/** How tags are found. `none`; `labels`: those of the true labels, which an oracle would say; `found`: segmented without tags first;
 * a list: the same for every photograph. */
export type TagChoice = 'none' | 'labels' | 'found' | readonly string[];

/** @throws when `found` has no segmenter; the tagger throws when `labels` has none */
export function openTagger(
  choice: TagChoice,
  { segmenter, classes }: { readonly segmenter?: Pipeline | undefined; readonly classes: readonly DatasetClass[] },
): Tagger {
  if (
    typeof choice === 'string'
      ? !['none', 'labels', 'found'].includes(choice)
      : !choice.every((tag) => typeof tag === 'string')
  ) {
    throw new Error(
      `tags: they are none, labels, found, or a list of texts; got ${JSON.stringify(choice)}; give ["sky", "tree"]`,
    );
  }
  if (choice === 'none') return async () => [];
  if (choice === 'labels') {
    return async ({ labels }) => {
      if (labels !== undefined) return namesOf(labels, classes);
      throw new Error('tags: the true labels are known; got none; give a data set with labels, or other tags');
    };
  }
  if (choice !== 'found') return async () => choice;
  if (segmenter === undefined) {
    throw new Error('tags: found ones need a model that segments; got none; name the tags, or give such a model');
  }
  return async ({ image }) => namesOf(await segmenter.segment(image), segmenter.classes);
}
