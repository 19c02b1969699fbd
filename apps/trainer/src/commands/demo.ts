import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { selectBackend } from '@rass/kernels';
import { disposeParams, printable } from '@rass/nn';
import { openPipeline } from '@rass/pipeline/node';
import { Command } from 'commander';
import { type DemoResult, runDemo } from '../demo/demo.ts';
import { checkResult, writeBeside } from '../files.ts';
import { findInputs } from '../inference/inputs.ts';
import { imageJobs } from '../inference/jobs.ts';
import { openLpips } from '../model/lpips.ts';
import { readDegradation } from '../samples/degradation.ts';
import { progressReporter, table } from '../terminal.ts';
import { sheetPage } from '../training/sheet.ts';
import { weightsFolder } from '../weights/install-once.ts';
import { wholeOf } from './option-values.ts';

interface DemoFlags {
  model: string;
  photographs: string[];
  out: string;
  scenes: number;
  size: number;
  degradation: string;
  backend?: string;
  open: boolean;
}

/** Scenes of the demo are of no training and no validation. */
const FIRST_SCENE = 2 ** 30 + 2 ** 20;

const OPENERS: Readonly<Record<string, string>> = { darwin: 'open', win32: 'explorer' };

/** Shows a page, where there is a desktop to show it on. */
function show(path: string): void {
  const hasDesktop = process.platform in OPENERS || process.env['DISPLAY'] || process.env['WAYLAND_DISPLAY'];
  if (!hasDesktop || process.env['CI']) return;
  const child = spawn(OPENERS[process.platform] ?? 'xdg-open', [path], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
}

function tablesOf({ scores, miou, pixelAccuracy, seconds }: DemoResult, model: string, backend: string): string[][][] {
  const restoration = Object.entries(scores).flatMap(([name, { images, degraded, restored }]) =>
    (['degraded', 'restored'] as const).map((which) => {
      const { psnr, ssim, lpips } = { degraded, restored }[which];
      const distance = lpips === undefined ? 'rass weights install lpips' : lpips.toFixed(4);
      return [`${images} ${name}, ${which}`, psnr.toFixed(2), ssim.toFixed(4), distance];
    }),
  );
  return [
    [['against the good ones', 'PSNR', 'SSIM', 'LPIPS'], ...restoration],
    [
      ['of the scenes, from the degraded ones', ''],
      ['mIoU', `${(100 * miou).toFixed(1)} %`],
      ['pixels that are right', `${(100 * pixelAccuracy).toFixed(1)} %`],
    ],
    [
      ['seconds for an image', ''],
      ['restoring', seconds.restore.toFixed(2)],
      ['segmenting', seconds.segment.toFixed(2)],
      ['model', model],
      ['computed on', backend],
    ],
  ];
}

async function run(flags: DemoFlags): Promise<void> {
  const settings = await readDegradation(flags.degradation);
  if (settings === undefined) throw new Error('demo: photographs are degraded; got none; name a preset or a .yml file');
  const { images, leftOut } = await findInputs(flags.photographs);
  for (const line of leftOut) console.error(printable(line));
  const photographs = imageJobs(images);
  checkResult('demo', flags.out, [flags.model, ...photographs.map(({ path }) => path)]);
  const { description } = await selectBackend(flags.backend as Parameters<typeof selectBackend>[0]);
  const pipeline = await openPipeline(flags.model, { restore: true, segment: true });
  const network = existsSync(join(weightsFolder(), 'lpips-alex.safetensors')) ? await openLpips('alex') : undefined;
  const { report, end } = progressReporter();
  try {
    const { scenes, size } = flags;
    const onSample = (done: number, total: number, what: string) => report({ stage: 'demo', what, done, total });
    const result = await runDemo({
      pipeline,
      photographs,
      scenes,
      firstScene: FIRST_SCENE,
      size,
      settings,
      network,
      onSample,
    });
    end();
    const tables = tablesOf(result, flags.model, description);
    const note = `Good photographs and procedural scenes, degraded (${flags.degradation}), restored in one step and segmented.`;
    const page = sheetPage('RASS: restored and segmented', note, result.rows, tables);
    await writeBeside(flags.out, page);
    for (const rows of tables) console.log(`${table(rows)}\n`);
    console.log(`report: ${resolve(flags.out)}`);
    if (flags.open) show(resolve(flags.out));
  } finally {
    pipeline.dispose();
    if (network !== undefined) disposeParams(network);
  }
}

/** `rass demo ...` */
export const demoCommand = (): Command =>
  new Command('demo')
    .description(
      'degrade good photographs and scenes, restore and segment them, and write a page with pictures, scores and times',
    )
    .requiredOption('--model <folder>', 'a model that restores and segments, trained on scenes')
    .requiredOption('--photographs <paths...>', 'good photographs: files or folders')
    .option('--out <file>', 'the page', 'rass-demo.html')
    .option('--scenes <count>', 'how many procedural scenes beside them', wholeOf, 6)
    .option('--size <pixels>', 'the sides that everything is cut to, in pixels', wholeOf, 256)
    .option('--degradation <name>', "a preset or a .yml file of Real-ESRGAN's options", 'rass')
    .option('--backend <name>', 'what computes (default: the best that there is)')
    .option('--no-open', 'leave the page to be opened by hand')
    .action(run);
