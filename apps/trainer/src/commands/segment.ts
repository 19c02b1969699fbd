import { join } from 'node:path';
import { encodeLabelsPng, encodePng, overlayLabels, type RgbImage } from '@rass/images';
import { selectBackend } from '@rass/kernels';
import { classAreas, namesOf, openTagger, type Pipeline, type SegmentOptions, type Tagger } from '@rass/pipeline';
import { openPipeline } from '@rass/pipeline/node';
import type { Command } from 'commander';
import { jsonText } from '../files.ts';
import { finishJobs, type ImageJob, openJobs, runJobs } from '../inference/jobs.ts';
import type { ResultFile } from '../inference/results.ts';
import { type ImageFlags, imageCommand, jobsOptions } from './image-command.ts';
import { numberOf, wholeOf } from './option-values.ts';

interface SegmentFlags extends ImageFlags {
  restored: boolean;
  shortSide?: number;
  longSide?: number;
  flip?: boolean;
  scales?: number[];
}

const PICTURES = ['labels', 'overlay', 'restored'] as const;
const pictureOf = (out: string, kind: (typeof PICTURES)[number], name: string): string =>
  join(out, kind, `${name}.png`);
const jsonOf = (out: string, name: string): string => join(out, 'json', `${name}.json`);

/** How the model sees a photograph. */
const viewOf = ({ shortSide, longSide, flip, scales }: SegmentFlags): SegmentOptions => ({
  ...(shortSide && { shortSide }),
  ...(longSide && { longSide }),
  ...(flip && { flip }),
  ...(scales && { scales }),
});

async function segmentOne(
  pipeline: Pipeline,
  tagger: Tagger,
  image: RgbImage,
  { path, name }: ImageJob,
  flags: SegmentFlags,
): Promise<ResultFile[]> {
  const { out } = flags;
  const options = { ...viewOf(flags), onNote: (note: string) => console.error(`${path}: ${note}`) };
  const start = performance.now();
  const tags = await tagger({ image });
  const labels = await pipeline.segment(image, { ...options, tags });
  const areas = classAreas(labels, pipeline.classes);
  const segmented = performance.now();
  const restored = flags.restored
    ? await pipeline.restore(image, { tags: tags.length > 0 ? tags : namesOf(labels, pipeline.classes) })
    : undefined;
  const restoredAt = performance.now();
  const colours = pipeline.classes.map(({ colour }) => colour);
  const seconds = {
    segment: (segmented - start) / 1000,
    ...(restored && { restore: (restoredAt - segmented) / 1000 }),
  };
  const { width, height } = image;
  const json = { image: path, model: flags.model, width, height, tags, classes: areas, seconds };
  return [
    { path: pictureOf(out, 'labels', name), data: encodeLabelsPng(labels) },
    { path: pictureOf(out, 'overlay', name), data: encodePng(overlayLabels(restored ?? image, labels, colours)) },
    ...(restored === undefined ? [] : [{ path: pictureOf(out, 'restored', name), data: encodePng(restored) }]),
    { path: jsonOf(out, name), data: jsonText(json) },
  ];
}

async function run(inputs: string[], flags: SegmentFlags): Promise<void> {
  const kinds = PICTURES.filter((kind) => kind !== 'restored' || flags.restored);
  const resultsOf = (name: string): string[] => [
    ...kinds.map((kind) => pictureOf(flags.out, kind, name)),
    jsonOf(flags.out, name),
  ];
  const jobs = await openJobs('segment', inputs, flags, resultsOf);
  await selectBackend(flags.backend as Parameters<typeof selectBackend>[0]);
  const pipeline = await openPipeline(flags.model, { restore: flags.restored, segment: true });
  const { tags = 'none' } = flags;
  const tagger = openTagger(tags, { segmenter: pipeline, classes: pipeline.classes });
  const start = performance.now();
  try {
    const result = await runJobs(jobs, {
      stage: 'segment',
      ...jobsOptions(flags),
      resultsOf,
      work: (image, job) => segmentOne(pipeline, tagger, image, job, flags),
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
    .option('--short-side <pixels>', 'the shorter side as the model sees it (default: as it was trained)', wholeOf)
    .option(
      '--long-side <pixels>',
      'the longer side at most; a longer one makes the shorter one less (default: four times the shorter)',
      wholeOf,
    )
    .option('--flip', 'also the mirror image, averaged')
    .option('--scales <list>', 'also at these sizes, averaged, such as 0.75,1,1.25', (text) =>
      text.split(',').map(numberOf),
    )
    .action(run);
