import type { Dataset, DatasetSample, DatasetStatistics } from '@rass/datasets';
import { colourLabels, overlayLabels, resizeImage, resizeLabels } from '@rass/images';
import { writeBeside } from '../files.ts';
import { sheetPage } from '../training/sheet.ts';
import type { CaptionedPicture, SheetRow } from '../training/task.ts';
import { legendOf } from './legend.ts';

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
          { caption: 'over the image', picture: overlayLabels(image, labels, colours) },
        ]),
  ];
  const title = `${sample.id} (${sample.image.width} x ${sample.image.height})`;
  return { title, pictures, ...(sample.labels && { legend: legendOf(sample.labels, classes) }) };
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
