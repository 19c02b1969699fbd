import { IGNORE_LABEL, type LabelMap } from '@rass/images';
import { type Dataset, type DatasetClass, haveSameNames } from '../dataset.ts';

const namesOf = (classes: readonly DatasetClass[]): string[] => classes.map(({ name }) => name);

/** All classes of several lists, each name once, with the colour that it has first; data sets that are labelled by one of the lists are brought to it
 * by relabelDataset. @throws when two names differ in their letters' case alone, or there are more than labels can tell apart */
export function unionClasses(lists: readonly (readonly DatasetClass[])[]): readonly DatasetClass[] {
  const found = new Map<string, DatasetClass>();
  for (const each of lists.flat()) {
    const other = found.get(each.name.toLowerCase());
    if (other !== undefined && other.name !== each.name) {
      throw new Error(
        `unionClasses: names of classes differ in more than capitals; got "${other.name}" and "${each.name}"; spell them alike`,
      );
    }
    if (other === undefined) found.set(each.name.toLowerCase(), each);
  }
  if (found.size <= IGNORE_LABEL) return [...found.values()];
  throw new Error(
    `unionClasses: labels tell ${IGNORE_LABEL} classes apart; got ${found.size} names in all; put together fewer sets`,
  );
}

/** A data set whose labels are places in other classes, by their names. One without labels stays as it is.
 * @throws when one of its own classes is not among them */
export function relabelDataset(dataset: Dataset, classes: readonly DatasetClass[]): Dataset {
  if (dataset.classes.length === 0 || haveSameNames(dataset.classes, classes)) return dataset;
  const places = new Map(namesOf(classes).map((name, place) => [name, place]));
  const lacking = namesOf(dataset.classes).find((name) => !places.has(name));
  if (lacking !== undefined) {
    throw new Error(
      `relabelDataset: each class of a data set is one of the new ones; got "${lacking}", which is none of ${classes.length}; give them all, as unionClasses does`,
    );
  }
  const table = new Uint8Array(IGNORE_LABEL + 1).map((_, label) => label);
  for (const [label, name] of namesOf(dataset.classes).entries()) table[label] = places.get(name)!;
  const known = dataset.classes.length;
  const moved = (id: string, { width, height, data }: LabelMap): LabelMap => {
    const other = data.find((label) => label >= known && label !== IGNORE_LABEL);
    // Under the new classes it would be another class's place.
    if (other !== undefined)
      throw new Error(`${id}: labels are from 0 to ${known - 1}, or 255; got ${other}; mend them`);
    return { width, height, data: data.map((label) => table[label]!) };
  };
  const { getLabels } = dataset;
  return {
    ...dataset,
    classes,
    async get(index) {
      const sample = await dataset.get(index);
      return sample.labels === undefined ? sample : { ...sample, labels: moved(sample.id, sample.labels) };
    },
    ...(getLabels && {
      async getLabels(index: number) {
        const labels = await getLabels(index);
        return labels && moved(`sample ${index}`, labels);
      },
    }),
  };
}
