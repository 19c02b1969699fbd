import { IGNORE_LABEL, type LabelMap } from '@rass/images';
import type { Dataset } from './dataset.ts';

/** What is wrong with the labels of a set as a whole, though each label map is one.
 * `all-ignored`: no pixel has a class. `one-class`: all that have one have the same, of several that there are. */
export interface LabelFault {
  readonly kind: 'all-ignored' | 'one-class';
  /** "rule; got; remedy" */
  readonly message: string;
}

/** What the label maps of a set have in all. */
export interface LabelCounts {
  /** How many maps there were. */
  readonly maps: number;
  /** Pixels of each label that was found, 255 among them. */
  readonly pixels: ReadonlyMap<number, number>;
}

/** Adds a label map's pixels to what was counted. */
export function countLabels({ data }: LabelMap, pixels: Map<number, number>): void {
  const counts = new Uint32Array(IGNORE_LABEL + 1);
  for (const label of data) counts[label]! += 1;
  counts.forEach((count, label) => {
    if (count > 0) pixels.set(label, (pixels.get(label) ?? 0) + count);
  });
}

const REMEDY_ZERO =
  'without classes.json labels are those of ADE20K, which count from 1, and 0 is nothing; write classes.json with the names of labels that count from 0';

/** Why labels may have come to nothing, and what helps. */
function remedyOf({ zeroIsNothing }: Dataset, hasIgnored: boolean): string {
  if (zeroIsNothing) return REMEDY_ZERO;
  return hasIgnored
    ? '255 is no class and is ignored; write the classes as 0, 1 and so on'
    : 'give labels of all classes';
}

/** What is wrong with counted labels as a whole; undefined where nothing is. */
export function labelFault(dataset: Dataset, { maps, pixels }: LabelCounts): LabelFault | undefined {
  const found = [...pixels.keys()].filter((label) => label !== IGNORE_LABEL);
  const remedy = remedyOf(dataset, pixels.has(IGNORE_LABEL));
  if (maps === 0 || dataset.classes.length === 0 || found.length > 1) return undefined;
  if (found.length === 0) {
    return {
      kind: 'all-ignored',
      message: `labels name what pixels show; got none that is not ignored in all of ${maps} label maps; ${remedy}`,
    };
  }
  if (dataset.classes.length === 1) return undefined;
  const [only] = found as [number];
  const ignored = pixels.has(IGNORE_LABEL) ? ', and ignored pixels' : '';
  return {
    kind: 'one-class',
    message: `labels tell ${dataset.classes.length} classes apart; got one alone, "${dataset.classes[only]?.name ?? only}"${ignored}, in all of ${maps} label maps; ${remedy}`,
  };
}

/** Counts the labels of a set, where it can read them without its images: of some samples first, and of all where something is wrong with those.
 * @throws when a label map cannot be read */
export async function findLabelFault(
  dataset: Dataset,
  { samples = 50 }: { readonly samples?: number } = {},
): Promise<LabelFault | undefined> {
  const { getLabels, length } = dataset;
  if (getLabels === undefined || length === undefined) return undefined;
  for (const count of [Math.min(samples, length), length]) {
    const pixels = new Map<number, number>();
    let maps = 0;
    for (let i = 0; i < count; i++) {
      const labels = await getLabels(Math.floor((i * length) / count));
      if (labels === undefined) continue;
      maps += 1;
      countLabels(labels, pixels);
    }
    const fault = labelFault(dataset, { maps, pixels });
    if (fault === undefined || count === length) return fault;
  }
  return undefined;
}
