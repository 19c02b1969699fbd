import { join } from 'node:path';
import { encodePng } from '@rass/images';
import { selectBackend } from '@rass/kernels';
import { type ColourFix, openTagger } from '@rass/pipeline';
import { openPipeline } from '@rass/pipeline/node';
import { type Command, Option } from 'commander';
import { finishJobs, openJobs, runJobs } from '../inference/jobs.ts';
import { type ImageFlags, imageCommand, jobsOptions } from './image-command.ts';
import { numberOf, wholeOf } from './option-values.ts';

interface RestoreFlags extends ImageFlags {
  upscale: number;
  colourFix: ColourFix;
  tile?: number;
  overlap?: number;
}

async function run(inputs: string[], flags: RestoreFlags): Promise<void> {
  const resultOf = (name: string): string => join(flags.out, `${name}.png`);
  const resultsOf = (name: string): string[] => [resultOf(name)];
  const jobs = await openJobs('restore', inputs, flags, resultsOf);
  await selectBackend(flags.backend as Parameters<typeof selectBackend>[0]);
  const { tags = 'none', upscale, colourFix, tile, overlap } = flags;
  const pipeline = await openPipeline(flags.model, { restore: true, segment: tags === 'found' });
  const tagger = openTagger(tags, { segmenter: pipeline, classes: pipeline.classes });
  const tiling = { ...(tile !== undefined && { size: tile }), ...(overlap !== undefined && { overlap }) };
  const start = performance.now();
  try {
    const result = await runJobs(jobs, {
      stage: 'restore',
      ...jobsOptions(flags),
      resultsOf,
      async work(image, { name }) {
        const restored = await pipeline.restore(image, { tags: await tagger({ image }), upscale, colourFix, tiling });
        return [{ path: resultOf(name), data: encodePng(restored) }];
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
        .default('adain'),
    )
    .option('--tile <latents>', 'side of the tiles of large photographs, in latents (default: 96)', wholeOf)
    .option('--overlap <latents>', 'what tiles have in common (default: 32)', wholeOf)
    .action(run);
