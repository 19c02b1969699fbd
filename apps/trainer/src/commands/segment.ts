import { join } from 'node:path';
import { encodeLabelsPng, overlayLabels, type RgbImage } from '@rass/images';
import { selectBackend } from '@rass/kernels';
import { classAreas, namesOf, openTagger, type Pipeline, type Tagger } from '@rass/pipeline';
import { openPipeline } from '@rass/pipeline/node';
import type { Command } from 'commander';
import { jsonText, writeBeside } from '../files.ts';
import { writePng } from '../images/write-png.ts';
import { checkJobs, finishJobs, type ImageJob, imageJobs, runJobs } from '../inference/jobs.ts';
import { type ImageFlags, imageCommand } from './image-command.ts';
import { numberOf, wholeOf } from './option-values.ts';

interface SegmentFlags extends ImageFlags {
  restored: boolean;
  shortSide?: number;
  flip?: boolean;
  scales?: number[];
}

const PICTURES = ['labels', 'overlay', 'restored'] as const;
const pictureOf = (out: string, kind: (typeof PICTURES)[number], name: string): string =>
  join(out, kind, `${name}.png`);

async function segmentOne(
  pipeline: Pipeline,
  tagger: Tagger,
  image: RgbImage,
  { path, name }: ImageJob,
  flags: SegmentFlags,
) {
  const { shortSide, flip, scales, out } = flags;
  const options = { ...(shortSide && { shortSide }), ...(flip && { flip }), ...(scales && { scales }) };
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
  await writeBeside(pictureOf(out, 'labels', name), encodeLabelsPng(labels));
  await writePng(pictureOf(out, 'overlay', name), overlayLabels(restored ?? image, labels, colours));
  if (restored !== undefined) await writePng(pictureOf(out, 'restored', name), restored);
  const seconds = {
    segment: (segmented - start) / 1000,
    ...(restored && { restore: (restoredAt - segmented) / 1000 }),
  };
  const { width, height } = image;
  const json = { image: path, model: flags.model, width, height, tags, classes: areas, seconds };
  await writeBeside(join(out, 'json', `${name}.json`), jsonText(json));
}

async function run(inputs: string[], flags: SegmentFlags): Promise<void> {
  const jobs = await imageJobs(inputs, flags.out);
  const pictures = (name: string): string[] => PICTURES.map((kind) => pictureOf(flags.out, kind, name));
  checkJobs('segment', jobs, pictures);
  await selectBackend(flags.backend as Parameters<typeof selectBackend>[0]);
  const pipeline = await openPipeline(flags.model, { restore: flags.restored, segment: true });
  const { maxPixels, tags = 'none' } = flags;
  const tagger = openTagger(tags, { segmenter: pipeline, classes: pipeline.classes });
  const start = performance.now();
  try {
    const result = await runJobs(jobs, {
      stage: 'segment',
      ...(maxPixels !== undefined && { maxPixels }),
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
    .option('--flip', 'also the mirror image, averaged')
    .option('--scales <list>', 'also at these sizes, averaged, such as 0.75,1,1.25', (text) =>
      text.split(',').map(numberOf),
    )
    .action(run);
