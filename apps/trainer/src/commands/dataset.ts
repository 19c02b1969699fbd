import { type Dataset, type DatasetSample, type DatasetStatistics, datasetStatistics } from '@rass/datasets';
import { printable } from '@rass/nn';
import { Command } from 'commander';
import { writeDegradedSet } from '../dataset/degraded-set.ts';
import { sheetRow, writeDatasetSheet } from '../dataset/sheet.ts';
import { checkResult } from '../files.ts';
import { readDegradation } from '../samples/degradation.ts';
import { scenesSource } from '../samples/scenes.ts';
import type { SourceHints } from '../samples/source-of.ts';
import { percent, progressReporter, table } from '../terminal.ts';
import type { SheetRow } from '../training/task.ts';
import { DATASET, openAnyDataset, withSourceOptions } from './dataset-source.ts';
import { seedOf, wholeOf } from './option-values.ts';

interface ReadFlags extends SourceHints {
  samples?: number;
  json?: boolean;
  sheet?: string;
}

interface WriteFlags extends SourceHints {
  out: string;
  degradation: string;
  seed: number;
  samples?: number;
}

interface ScenesFlags extends WriteFlags {
  count: number;
  size: number;
  first: number;
}

const PICTURES = 48;

function statisticsTable({ classes }: DatasetStatistics): string {
  const found = classes.filter(({ pixels }) => pixels > 0).toSorted((a, b) => b.pixels - a.pixels);
  const rows = found.map(({ name, images, share }) => [name, String(images), percent(share)]);
  return table([['class', 'images', 'pixels'], ...rows]);
}

/** Reads a whole data set, with a bar; the first pictures go on the sheet. */
async function readAll(path: string, flags: ReadFlags): Promise<DatasetStatistics> {
  const { samples, sheet } = flags;
  if (sheet !== undefined) checkResult('dataset', sheet, [path]);
  const dataset = await openAnyDataset(path, flags);
  const { report, end } = progressReporter();
  const rows: SheetRow[] = [];
  const statistics = await datasetStatistics(dataset, {
    ...(samples !== undefined && { samples }),
    onSample(index, sample, total) {
      report({ stage: 'dataset', what: path, done: index, total });
      if (sheet !== undefined && sample !== undefined && rows.length < PICTURES)
        rows.push(sheetRow(sample, dataset.classes));
    },
  });
  end();
  if (sheet !== undefined) await writeDatasetSheet(sheet, path, statistics, rows);
  return statistics;
}

async function check(path: string, flags: ReadFlags): Promise<void> {
  const { images, labelled, pairs, problems } = await readAll(path, flags);
  for (const problem of problems) console.error(printable(problem));
  console.log(`${images} images are whole, ${labelled} with labels, ${pairs} pairs; ${problems.length} are broken`);
  if (problems.length > 0) process.exitCode = 1;
}

async function stats(path: string, flags: ReadFlags): Promise<void> {
  const statistics = await readAll(path, flags);
  if (flags.json) return console.log(JSON.stringify(statistics, null, 2));
  const { images, labelled, pairs, widths, heights, ignoredShare, classes, problems } = statistics;
  console.log(`${images} images, ${labelled} with labels, ${pairs} pairs, ${problems.length} broken`);
  console.log(`least, median and most: ${widths.join(', ')} wide, ${heights.join(', ')} high`);
  if (classes.length > 0) console.log(`${percent(ignoredShare)} ignored\n${statisticsTable(statistics)}`);
}

async function write(dataset: Dataset, count: number, { out, degradation, seed }: WriteFlags): Promise<void> {
  const settings = await readDegradation(degradation);
  const { report, end } = progressReporter();
  let given = 0;
  const onSample = (done: number, sample: DatasetSample) => {
    if (sample.degraded !== undefined) given += 1;
    report({ stage: 'dataset', what: out, done, total: count });
  };
  await writeDegradedSet(dataset, { out, settings, seed, count, onSample });
  end();
  const note = given > 0 ? `, of which ${given} had bad photographs already, which are taken as they are` : '';
  console.log(`${count} images${note}: ${out}`);
}

async function degradeSet(path: string, flags: WriteFlags): Promise<void> {
  const dataset = await openAnyDataset(path, flags);
  const most = dataset.length ?? 0;
  await write(dataset, Math.min(most, flags.samples ?? most), flags);
}

const scenes = async ({ count, size, first, ...flags }: ScenesFlags): Promise<void> =>
  write(await scenesSource({ kind: 'scenes', size, first, length: count }), count, flags);

const reading = (name: string, description: string): Command =>
  withSourceOptions(new Command(name).description(description).argument('<path>', DATASET))
    .option('--samples <count>', 'read at most so many, evenly spread', wholeOf)
    .option('--sheet <file>', `also write a page with pictures, labels and tags of the first ${PICTURES}`);

const writing = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .requiredOption('--out <folder>', 'where the set is written')
    .option('--degradation <name>', "a preset, a .yml file of Real-ESRGAN's options, or none", 'rass')
    .option('--seed <number>', 'of the degradation; image i has the seed plus i', seedOf, 0);

/** `rass dataset ...` */
export const datasetCommand = (): Command =>
  new Command('dataset')
    .description('look into data sets, and make fixed ones')
    .addCommand(
      reading('check', 'read everything; a line for each broken sample, and status 1 if there is one').action(check),
    )
    .addCommand(
      reading('stats', 'sizes, and images and pixels of each class').option('--json', 'print JSON').action(stats),
    )
    .addCommand(
      withSourceOptions(
        writing('degrade', 'write a fixed set of bad photographs beside their good ones and labels').argument(
          '<path>',
          DATASET,
        ),
      )
        .option('--samples <count>', 'at most so many', wholeOf)
        .action(degradeSet),
    )
    .addCommand(
      writing('scenes', 'write procedural scenes as a fixed set, degraded')
        .option('--count <number>', 'how many', wholeOf, 200)
        .option('--size <pixels>', 'their sides', wholeOf, 256)
        .option('--first <seed>', 'the first scene; training draws from 0 on', seedOf, 2 ** 30)
        .action(scenes),
    );
