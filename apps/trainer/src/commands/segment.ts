import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatasetClass } from '@rass/datasets';
import { encodeLabelsPng, type LabelMap, overlayLabels, type RgbImage } from '@rass/images';
import { selectBackend } from '@rass/kernels';
import type { Command } from 'commander';
import { writeBeside } from '../files.ts';
import { finishJobs, type ImageJob, imageJobs, runJobs } from '../inference/jobs.ts';
import { openPipeline, type Pipeline } from '../inference/pipeline.ts';
import { type ImageFlags, imageCommand, numberOf, writePng } from './restore.ts';

interface SegmentFlags extends ImageFlags {
  restored: boolean;
  twoPasses?: boolean;
  shortSide?: number;
  flip?: boolean;
  scales?: number[];
}

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
  const counts = new Array<number>(classes.length).fill(0);
  for (const label of data) counts[label] = (counts[label] ?? 0) + 1;
  return classes
    .map(({ name }, label) => ({ label, name, pixels: counts[label]!, share: counts[label]! / data.length }))
    .filter(({ pixels }) => pixels > 0)
    .sort((a, b) => b.pixels - a.pixels || a.label - b.label);
}

/** Classes with less of an image are not named in a prompt. */
const LEAST_SHARE = 0.01;
const namesOf = (areas: readonly ClassArea[]): string[] =>
  areas.filter(({ share }) => share >= LEAST_SHARE).map(({ name }) => name);

async function segmentOne(pipeline: Pipeline, image: RgbImage, { path, name }: ImageJob, flags: SegmentFlags) {
  const { tags, shortSide, flip, scales, out } = flags;
  const options = { ...(shortSide && { shortSide }), ...(flip && { flip }), ...(scales && { scales }) };
  const start = performance.now();
  const segment = (given?: readonly string[]) => pipeline.segment(image, { ...options, ...(given && { tags: given }) });
  const first = await segment(tags);
  const labels = flags.twoPasses ? await segment(namesOf(classAreas(first, pipeline.classes))) : first;
  const areas = classAreas(labels, pipeline.classes);
  const segmented = performance.now();
  const restored = flags.restored ? await pipeline.restore(image, { tags: tags ?? namesOf(areas) }) : undefined;
  const restoredAt = performance.now();
  const colours = pipeline.classes.map(({ colour }) => colour);
  await writeBeside(join(out, 'labels', `${name}.png`), (to) => writeFile(to, encodeLabelsPng(labels)));
  await writePng(join(out, 'overlay', `${name}.png`), overlayLabels(restored ?? image, labels, colours));
  if (restored !== undefined) await writePng(join(out, 'restored', `${name}.png`), restored);
  const seconds = {
    segment: (segmented - start) / 1000,
    ...(restored && { restore: (restoredAt - segmented) / 1000 }),
  };
  const { width, height } = image;
  const json = { image: path, model: flags.model, width, height, classes: areas, seconds };
  await writeBeside(join(out, 'json', `${name}.json`), (to) => writeFile(to, `${JSON.stringify(json, null, 2)}\n`));
}

async function run(inputs: string[], flags: SegmentFlags): Promise<void> {
  const jobs = await imageJobs(inputs);
  await selectBackend(flags.backend as Parameters<typeof selectBackend>[0]);
  const pipeline = await openPipeline(flags.model, { restore: flags.restored, segment: true });
  const { maxPixels } = flags;
  const start = performance.now();
  try {
    const result = await runJobs(jobs, {
      stage: 'segment',
      ...(maxPixels !== undefined && { maxPixels }),
      work: (image, job) => segmentOne(pipeline, image, job, flags),
    });
    finishJobs(result, flags.out, (performance.now() - start) / 1000);
  } finally {
    pipeline.dispose();
  }
}

/** `rass segment ...` */
export const segmentCommand = (): Command =>
  imageCommand(
    'segment',
    'segment photographs: labels/, overlay/, restored/ as PNG, and json/ with the classes and their areas',
  )
    .option('--no-restored', 'write no restored photographs; the overlays are over the given ones')
    .option('--two-passes', 'segment, then again with the classes that were found as tags')
    .option('--short-side <pixels>', 'the shorter side as the model sees it (default: as it was trained)', numberOf)
    .option('--flip', 'also the mirror image, averaged')
    .option('--scales <list>', 'also at these sizes, averaged, such as 0.75,1,1.25', (text) =>
      text.split(',').map(numberOf),
    )
    .action(run);
