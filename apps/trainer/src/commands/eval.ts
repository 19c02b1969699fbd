import { type Dataset, findLabelFault } from '@rass/datasets';
import { selectBackend } from '@rass/kernels';
import { disposeParams } from '@rass/nn';
import type { Pipeline, TagChoice } from '@rass/pipeline';
import { openPipeline, readStages } from '@rass/pipeline/node';
import { Command, Option } from 'commander';
import { type Evaluation, evaluate, PROTOCOLS, type Protocol } from '../evaluation/evaluate.ts';
import type { ImageScores } from '../evaluation/scores.ts';
import { checkResult, writeBeside } from '../files.ts';
import { openLpips } from '../model/lpips.ts';
import { readDegradation } from '../samples/degradation.ts';
import type { SourceHints } from '../samples/source-of.ts';
import { progressReporter, table } from '../terminal.ts';
import { DATASET, openAnyDataset, withSourceOptions } from './dataset-source.ts';
import { tagsOf, wholeOf } from './option-values.ts';

interface EvalFlags extends SourceHints {
  model?: string;
  restorer?: string;
  protocol: Protocol;
  samples?: number;
  degradation?: string;
  tags: TagChoice;
  lpips: 'alex' | 'vgg' | 'none';
  shortSide?: number;
  backend?: string;
  out?: string;
  json?: boolean;
}

const percent = (share: number): string => (100 * share).toFixed(2);

function segmentationLines({ segmentation }: Evaluation, names: readonly string[]): string[] {
  if (segmentation === undefined) return [];
  const { miou, fwiou, meanAccuracy, pixelAccuracy, perClass } = segmentation;
  const rows = perClass.flatMap(({ iou, accuracy }, label) =>
    Number.isNaN(iou) ? [] : [[names[label]!, percent(iou), Number.isNaN(accuracy) ? '-' : percent(accuracy)]],
  );
  return [
    table([['class', 'IoU', 'accuracy'], ...rows]),
    `mIoU ${percent(miou)}  fwIoU ${percent(fwiou)}  mean accuracy ${percent(meanAccuracy)}  pixel accuracy ${percent(pixelAccuracy)}`,
  ];
}

const scoreCells = (name: string, { psnr, ssim, lpips }: ImageScores): string[] => [
  name,
  psnr.toFixed(2),
  ssim.toFixed(4),
  lpips === undefined ? '-' : lpips.toFixed(4),
];

function restorationLines({ restoration }: Evaluation): string[] {
  if (restoration === undefined) return [];
  const { degraded, restored } = restoration;
  return [table([['', 'PSNR', 'SSIM', 'LPIPS'], scoreCells('degraded', degraded), scoreCells('restored', restored)])];
}

const asTheyAreNote = ({ asTheyAre, images }: Evaluation): string =>
  `${asTheyAre} of ${images} images have no good photograph beside them and are taken as they are; --degradation makes bad ones of good ones`;

/** @throws when the model was trained for another protocol */
async function checkProtocol(model: string, protocol: Protocol): Promise<void> {
  const { merged } = PROTOCOLS[protocol];
  const { segmentation } = await readStages(model);
  if (merged === undefined || segmentation === undefined || segmentation.mergesRestoration === merged) return;
  const got = segmentation.mergesRestoration ? 'one on the restoring model' : 'one on the frozen model itself';
  throw new Error(
    `eval: ${protocol} scores a segmenter ${merged ? 'on the restoring' : 'on the frozen'} model; got ${got}; see mergeRestoration of its recipe`,
  );
}

/** @throws when there is nothing to score; labels of one class alone are told of */
async function checkLabels(path: string, dataset: Dataset): Promise<void> {
  const fault = await findLabelFault(dataset);
  if (fault?.kind === 'all-ignored') throw new Error(`${path}: ${fault.message}`);
  if (fault !== undefined) console.error(`${path}: ${fault.message}`);
}

async function run(path: string, flags: EvalFlags): Promise<void> {
  const { protocol, samples, shortSide, lpips } = flags;
  const inputs = [path, flags.model, flags.restorer].filter((input) => input !== undefined);
  if (flags.out !== undefined) checkResult('eval', flags.out, inputs);
  const [dataset, settings] = [await openAnyDataset(path, flags), await readDegradation(flags.degradation ?? 'none')];
  if (flags.model !== undefined) {
    await checkProtocol(flags.model, protocol);
    await checkLabels(path, dataset);
  }
  await selectBackend(flags.backend as Parameters<typeof selectBackend>[0]);
  const open: Pipeline[] = [];
  const opened = async (model: string | undefined, needs: { restore: boolean; segment: boolean }) => {
    if (model === undefined) return undefined;
    const pipeline = await openPipeline(model, needs);
    open.push(pipeline);
    return pipeline;
  };
  const segmenter = await opened(flags.model, { restore: false, segment: true });
  const restorer = await opened(flags.restorer, { restore: true, segment: false });
  const network = lpips === 'none' || restorer === undefined ? undefined : await openLpips(lpips);
  const { report, end } = progressReporter();
  try {
    const evaluation = await evaluate({
      dataset,
      ...(segmenter && { segmenter }),
      ...(restorer && { restorer }),
      input: PROTOCOLS[protocol].input,
      settings,
      tags: flags.tags,
      network,
      ...(samples !== undefined && { samples }),
      ...(shortSide !== undefined && { shortSide }),
      onSample: (done, total) => report({ stage: protocol, what: path, done, total }),
    });
    end();
    const names = segmenter?.classes.map(({ name }) => name) ?? [];
    if (evaluation.asTheyAre > 0 && PROTOCOLS[protocol].input !== 'clean') console.error(asTheyAreNote(evaluation));
    const { model, restorer: restoring, degradation = 'none' } = flags;
    const json = JSON.stringify({ protocol, data: path, model, restorer: restoring, degradation, tags: flags.tags, classes: names, ...evaluation }, null, 2); // biome-ignore format: one line
    if (flags.out !== undefined) await writeBeside(flags.out, `${json}\n`);
    if (flags.json) console.log(json);
    else
      for (const line of [...restorationLines(evaluation), ...segmentationLines(evaluation, names)]) console.log(line);
  } finally {
    for (const pipeline of open) pipeline.dispose();
    if (network !== undefined) disposeParams(network);
  }
}

/** `rass eval ...` */
export const evalCommand = (): Command =>
  withSourceOptions(
    new Command('eval')
      .description("score segmentation and restoration on a data set, by the paper's protocols")
      .argument('<path>', DATASET),
  )
    .option('--model <folder>', 'what segments')
    .option('--restorer <folder>', 'what restores: scored against the good photographs, and segmented by r2s')
    .addOption(
      new Option('--protocol <name>', 'dt, ft, rass: bad photographs; r2s: restored ones; clean: good ones')
        .choices(Object.keys(PROTOCOLS))
        .default('rass'),
    )
    .option('--samples <count>', 'at most so many, from the first on', wholeOf)
    .option(
      '--degradation <name>',
      'makes images bad that have no bad photograph beside them: a preset or a .yml file (default: all are taken as they are)',
    )
    .option(
      '--tags <how>',
      'named in prompts: none, found (segmented first), labels (the true ones), or names',
      tagsOf,
      'none' as TagChoice,
    )
    .addOption(new Option('--lpips <net>', 'of restoration').choices(['alex', 'vgg', 'none']).default('alex'))
    .option('--short-side <pixels>', 'everything is brought to this size first', wholeOf)
    .option('--backend <name>', 'what computes (default: the best that there is)')
    .option('--out <file>', 'also write the scores as JSON')
    .option('--json', 'print JSON')
    .action(run);
