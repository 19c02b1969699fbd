import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodePng, type RgbImage } from '@rass/images';
import { selectBackend } from '@rass/kernels';
import { Command, InvalidArgumentError, Option } from 'commander';
import { writeBeside } from '../files.ts';
import { finishJobs, imageJobs, runJobs } from '../inference/jobs.ts';
import { type ColourFix, openPipeline } from '../inference/pipeline.ts';
import { openTagger, type TagChoice } from '../inference/taggers.ts';

export interface ImageFlags {
  model: string;
  out: string;
  tags?: TagChoice;
  backend?: string;
  maxPixels?: number;
}

interface RestoreFlags extends ImageFlags {
  upscale: number;
  colourFix: ColourFix;
  tile?: number;
  overlap?: number;
}

/** `none`, `found`, `labels`, or names with commas between them. */
export function tagsOf(text: string): TagChoice {
  if (text === 'none' || text === 'found' || text === 'labels') return text;
  return text
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}

export function numberOf(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('It is a number above 0.');
}

export const writePng = (path: string, image: RgbImage): Promise<void> =>
  writeBeside(path, (temporary) => writeFile(temporary, encodePng(image)));

/** What every command over images takes. */
export const imageCommand = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .argument('<inputs...>', 'images, or folders of images: JPEG, PNG, WebP')
    .requiredOption('--model <folder>', "a model's folder, as rass train writes it")
    .requiredOption('--out <folder>', 'where results are written')
    .option(
      '--tags <how>',
      'what photographs show: none, found (segmented first), or names such as "building, sky"',
      tagsOf,
    )
    .option('--backend <name>', 'what computes (default: the best that there is)')
    .option('--max-pixels <count>', 'images with more are refused (default: 100 million)', numberOf);

async function run(inputs: string[], flags: RestoreFlags): Promise<void> {
  const jobs = await imageJobs(inputs);
  await selectBackend(flags.backend as Parameters<typeof selectBackend>[0]);
  const { tags = 'none', upscale, colourFix, tile, overlap, maxPixels } = flags;
  const pipeline = await openPipeline(flags.model, { restore: true, segment: tags === 'found' });
  const tagger = openTagger(tags, { segmenter: pipeline, classes: pipeline.classes });
  const tiling = { ...(tile !== undefined && { size: tile }), ...(overlap !== undefined && { overlap }) };
  const start = performance.now();
  try {
    const result = await runJobs(jobs, {
      stage: 'restore',
      ...(maxPixels !== undefined && { maxPixels }),
      async work(image, { name }) {
        const restored = await pipeline.restore(image, { tags: await tagger({ image }), upscale, colourFix, tiling });
        await writePng(join(flags.out, `${name}.png`), restored);
      },
    });
    finishJobs(result, flags.out, (performance.now() - start) / 1000);
  } finally {
    pipeline.dispose();
  }
}

/** `rass restore ...` */
export const restoreCommand = (): Command =>
  imageCommand('restore', 'restore photographs that are blurred, noisy or compressed: a PNG for each')
    .option('--upscale <times>', 'how many times larger', numberOf, 1)
    .addOption(
      new Option('--colour-fix <kind>', 'which colours the result takes from its photograph')
        .choices(['none', 'adain', 'wavelet'])
        .default('none'),
    )
    .option('--tile <latents>', 'side of the tiles of large photographs, in latents (default: 96)', numberOf)
    .option('--overlap <latents>', 'what tiles have in common (default: 32)', numberOf)
    .action(run);
