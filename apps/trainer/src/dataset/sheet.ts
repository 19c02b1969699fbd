import type { Dataset, DatasetSample, DatasetStatistics } from '@rass/datasets';
import { colourLabels, IGNORE_LABEL, overlayLabels, resizeImage, resizeLabels } from '@rass/images';
import { writeBeside } from '../files.ts';
import { sheetPage } from '../training/sheet.ts';
import type { CaptionedPicture, SheetRow } from '../training/task.ts';

/** Pictures on a sheet are no larger than this. */
const LARGEST = 384;

function smaller({ id, image, labels, degraded }: DatasetSample): DatasetSample {
  const scale = Math.min(1, LARGEST / Math.max(image.width, image.height));
  if (scale === 1) return { id, image, ...(labels && { labels }), ...(degraded && { degraded }) };
  const size = { width: Math.round(image.width * scale), height: Math.round(image.height * scale) };
  return {
    id,
    image: resizeImage(image, size),
    ...(labels && { labels: resizeLabels(labels, size) }),
    ...(degraded && { degraded: resizeImage(degraded, size) }),
  };
}

/** The classes of a sample, the largest first, as prompts would name them. */
function tagsOf({ labels }: DatasetSample, classes: Dataset['classes']): string {
  if (labels === undefined) return 'no labels';
  const counts = new Map<number, number>();
  for (const label of labels.data) if (label !== IGNORE_LABEL) counts.set(label, (counts.get(label) ?? 0) + 1);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted
    .map(([label, count]) => `${classes[label]?.name ?? label} ${((100 * count) / labels.data.length).toFixed(1)} %`)
    .join(', ');
}

/** A sample as a row of the sheet. */
export function sheetRow(sample: DatasetSample, classes: Dataset['classes']): SheetRow {
  const { image, labels, degraded } = smaller(sample);
  const colours = classes.map(({ colour }) => colour);
  const pictures: CaptionedPicture[] = [
    ...(degraded === undefined ? [] : [{ caption: 'degraded', picture: degraded }]),
    { caption: degraded === undefined ? 'image' : 'clean', picture: image },
    ...(labels === undefined
      ? []
      : [
          { caption: 'labels', picture: colourLabels(labels, colours) },
          { caption: tagsOf(sample, classes), picture: overlayLabels(image, labels, colours) },
        ]),
  ];
  return { title: `${sample.id} (${sample.image.width} x ${sample.image.height})`, pictures };
}

/** Writes the page of a data set: what it has, and samples with labels and tags. */
export async function writeDatasetSheet(
  path: string,
  title: string,
  statistics: DatasetStatistics,
  rows: readonly SheetRow[],
): Promise<void> {
  const { images, labelled, pairs, problems } = statistics;
  const note = `${images} images, ${labelled} with labels, ${pairs} pairs, ${problems.length} broken`;
  await writeBeside(path, sheetPage(title, note, rows));
}
