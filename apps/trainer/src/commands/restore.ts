import { join } from 'node:path';
import { selectBackend } from '@rass/kernels';
import { type ColourFix, openTagger } from '@rass/pipeline';
import { openPipeline } from '@rass/pipeline/node';
import { type Command, Option } from 'commander';
import { writePng } from '../images/write-png.ts';
import { checkJobs, finishJobs, imageJobs, runJobs } from '../inference/jobs.ts';
import { type ImageFlags, imageCommand } from './image-command.ts';
import { numberOf, wholeOf } from './option-values.ts';

interface RestoreFlags extends ImageFlags {
  upscale: number;
  colourFix: ColourFix;
  tile?: number;
  overlap?: number;
}

async function run(inputs: string[], flags: RestoreFlags): Promise<void> {
  const jobs = await imageJobs(inputs, flags.out);
  const resultOf = (name: string): string => join(flags.out, `${name}.png`);
  checkJobs('restore', jobs, (name) => [resultOf(name)]);
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
        await writePng(resultOf(name), restored);
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
    .option('--tile <latents>', 'side of the tiles of large photographs, in latents (default: 96)', wholeOf)
    .option('--overlap <latents>', 'what tiles have in common (default: 32)', wholeOf)
    .action(run);
