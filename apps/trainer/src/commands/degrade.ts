import { join } from 'node:path';
import { degrade } from '@rass/degradation';
import { encodePng, flatten, withAlphaOf } from '@rass/images';
import type { Command } from 'commander';
import { jsonText } from '../files.ts';
import { finishJobs, openJobs, runJobs } from '../inference/jobs.ts';
import { readDegradation } from '../samples/degradation.ts';
import { type InputFlags, inputsCommand, jobsOptions } from './image-command.ts';
import { seedOf } from './option-values.ts';

interface DegradeFlags extends InputFlags {
  degradation: string;
  seed: number;
  record?: boolean;
}

async function run(inputs: string[], flags: DegradeFlags): Promise<void> {
  const { out, degradation, seed, record } = flags;
  const settings = await readDegradation(degradation);
  if (settings === undefined)
    throw new Error('degrade: there is a degradation; got none; name a preset or a .yml file');
  const resultsOf = (name: string): string[] => [
    join(out, `${name}.png`),
    ...(record ? [join(out, `${name}.json`)] : []),
  ];
  const jobs = await openJobs('degrade', inputs, flags, resultsOf);
  const start = performance.now();
  const result = await runJobs(jobs, {
    stage: 'degrade',
    ...jobsOptions(flags),
    resultsOf,
    async work(image, job) {
      const made = degrade(flatten(image), settings, { seed: seed + jobs.indexOf(job) });
      const data = [encodePng(withAlphaOf({ picture: made.image, original: image })), jsonText(made.record)];
      return resultsOf(job.name).map((path, i) => ({ path, data: data[i]! }));
    },
  });
  finishJobs(result, out, (performance.now() - start) / 1000);
}

/** `rass degrade ...` */
export const degradeCommand = (): Command =>
  inputsCommand('degrade', 'make good photographs bad: blur, resize, noise, JPEG, twice, from a seed')
    .option('--degradation <name>', "a preset or a .yml file of Real-ESRGAN's options", 'rass')
    .option('--seed <number>', 'image i has the seed plus i', seedOf, 0)
    .option('--record', 'also write what was drawn for each, as JSON')
    .action(run);
