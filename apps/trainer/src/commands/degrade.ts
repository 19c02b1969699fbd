import { join } from 'node:path';
import { degrade } from '@rass/degradation';
import { Command } from 'commander';
import { jsonText, writeBeside } from '../files.ts';
import { writePng } from '../images/write-png.ts';
import { checkJobs, finishJobs, imageJobs, runJobs } from '../inference/jobs.ts';
import { readDegradation } from '../samples/degradation.ts';
import { seedOf } from './option-values.ts';

interface DegradeFlags {
  out: string;
  degradation: string;
  seed: number;
  record?: boolean;
}

async function run(inputs: string[], { out, degradation, seed, record }: DegradeFlags): Promise<void> {
  const settings = await readDegradation(degradation);
  if (settings === undefined)
    throw new Error('degrade: there is a degradation; got none; name a preset or a .yml file');
  const jobs = await imageJobs(inputs, out);
  const resultOf = (name: string): string => join(out, `${name}.png`);
  checkJobs('degrade', jobs, (name) => [resultOf(name)]);
  const start = performance.now();
  const result = await runJobs(jobs, {
    stage: 'degrade',
    async work(image, job) {
      const made = degrade(image, settings, { seed: seed + jobs.indexOf(job) });
      await writePng(resultOf(job.name), made.image);
      if (!record) return;
      await writeBeside(join(out, `${job.name}.json`), jsonText(made.record));
    },
  });
  finishJobs(result, out, (performance.now() - start) / 1000);
}

/** `rass degrade ...` */
export const degradeCommand = (): Command =>
  new Command('degrade')
    .description('make good photographs bad: blur, resize, noise, JPEG, twice, from a seed')
    .argument('<inputs...>', 'images, or folders of images: JPEG, PNG, WebP')
    .requiredOption('--out <folder>', 'where the PNGs are written')
    .option('--degradation <name>', "a preset or a .yml file of Real-ESRGAN's options", 'rass')
    .option('--seed <number>', 'image i has the seed plus i', seedOf, 0)
    .option('--record', 'also write what was drawn for each, as JSON')
    .action(run);
