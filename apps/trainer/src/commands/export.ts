import { basename } from 'node:path';
import { selectBackend } from '@rass/kernels';
import { readStages } from '@rass/pipeline/node';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Comparison, type ComparisonOptions, compareModels } from '../export/compare.ts';
import { PRECISIONS, type Precision } from '../export/convert.ts';
import { exportModel } from '../export/export-model.ts';
import { TASKS, type Task } from '../export/exported-stages.ts';
import { readDegradation } from '../samples/degradation.ts';
import type { SourceHints } from '../samples/source-of.ts';
import { megabytes, percent, progressReporter, table } from '../terminal.ts';
import { openAnyDataset, withSourceOptions } from './dataset-source.ts';
import { numberOf, wholeOf } from './option-values.ts';

interface ExportFlags extends SourceHints {
  out: string;
  dtype: Precision;
  name?: string;
  tokenizer: boolean;
  merge: boolean;
  tasks?: Task[];
  shardSize?: number;
  compare?: string;
  samples: number;
  degradation: string;
  backend?: string;
}

const decibels = (value: number): string => `${value.toFixed(2)} dB`;

function comparisonLines({ images, restoration, segmentation }: Comparison): string[] {
  const rows = [[`on ${images} images`, 'as it was', 'exported']];
  if (restoration !== undefined) {
    rows.push([
      'PSNR of what it restores',
      ...(restoration.psnr?.map(decibels) ?? ['the set has no good photographs', '']),
    ]);
    rows.push(['PSNR between what both restore', '', decibels(restoration.between)]);
  }
  if (segmentation !== undefined) {
    rows.push(['mIoU', ...(segmentation.miou?.map(percent) ?? ['the set has no labels', ''])]);
    rows.push(['pixels with the same label', '', percent(segmentation.agreement)]);
  }
  return ['', table(rows)];
}

interface ComparisonSet extends Pick<ComparisonOptions, 'dataset' | 'settings' | 'samples'> {
  readonly path: string;
}

async function setOf(model: string, flags: ExportFlags): Promise<ComparisonSet | undefined> {
  const { compare, degradation, samples } = flags;
  if (compare === undefined) return undefined;
  const { restoration, segmentation } = await readStages(model);
  if (restoration === undefined && segmentation === undefined) {
    throw new Error(
      `export: what is compared restores or segments; got ${model}, which does neither; leave --compare out`,
    );
  }
  const dataset = await openAnyDataset(compare, flags);
  return { path: compare, dataset, settings: await readDegradation(degradation), samples };
}

async function comparisonOf(model: string, set: ComparisonSet, flags: ExportFlags): Promise<Comparison> {
  const { report, end } = progressReporter();
  try {
    const onSample = (done: number, total: number) => report({ stage: 'compare', what: set.path, done, total });
    return await compareModels(model, flags.out, { ...set, onSample });
  } finally {
    end();
  }
}

async function run(model: string, flags: ExportFlags): Promise<void> {
  const { out, dtype, name = basename(out), tokenizer, merge, tasks, shardSize } = flags;
  // What is wrong with the comparison is told before anything is written.
  const set = await setOf(model, flags);
  if (set !== undefined) await selectBackend(flags.backend as Parameters<typeof selectBackend>[0]);
  const { files, unmerged } = await exportModel(model, out, {
    precision: dtype,
    name,
    withoutTokenizer: !tokenizer,
    merge,
    ...(tasks && { tasks }),
    ...(shardSize && { maxShardBytes: shardSize * 1e6 }),
  });
  const rows = files.map(({ path, numbers, bytes, error }) => [
    path,
    numbers.toLocaleString('en'),
    megabytes(bytes),
    error.toExponential(1),
  ]);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const lead = ['file', 'numbers', 'size', 'relative error'];
  console.log(table([lead, ...rows, ['all', '', megabytes(total), '']]));
  if (unmerged !== undefined) console.log(`\n${unmerged}`);
  if (set === undefined) return;
  for (const line of comparisonLines(await comparisonOf(model, set, flags))) console.log(line);
}

function tasksOf(text: string): Task[] {
  const names = text.split(',').map((name) => name.trim());
  const other = names.find((name) => !TASKS.includes(name as Task));
  if (other === undefined) return names as Task[];
  throw new InvalidArgumentError(`tasks are ${TASKS.join(' and ')}, by commas; got "${other}"`);
}

/** `rass export ...` */
export const exportCommand = (): Command =>
  withSourceOptions(
    new Command('export')
      .description(
        "write a model's folder anew: adapters merged, weights in another precision, shards, hashes, a model card",
      )
      .argument('<model>', "a model's folder, as rass train writes it")
      .requiredOption('--out <folder>', 'where it is written; what is there is replaced')
      .addOption(
        new Option('--dtype <precision>', 'of the weights; Q8 and Q4 are codes of 8 and 4 bits')
          .choices(PRECISIONS)
          .default('F16'),
      )
      .option('--name <name>', "on the model card (default: the folder's)")
      .option('--no-tokenizer', 'leave the tokenizer out, where it is that of Stable Diffusion 2')
      .option('--no-merge', 'leave adapters beside the UNet (default: merged where that serves every task)')
      .addOption(new Option('--tasks <names>', 'what the model is to do (default: all it does)').argParser(tasksOf))
      .option(
        '--shard-size <MB>',
        'of weights in one file, in millions of bytes, where no tensor is larger (default: 2000)',
        numberOf,
      )
      .option('--compare <path>', 'a data set on which the model is compared with what is written'),
  )
    .option('--samples <count>', 'of it at most so many images, from the first on', wholeOf, 50)
    .option(
      '--degradation <name>',
      'makes images of it bad that have no bad photograph beside them: a preset or a .yml file (default: all are taken as they are)',
      'none',
    )
    .option('--backend <name>', 'what computes the comparison (default: the best that there is)')
    .action(run);
