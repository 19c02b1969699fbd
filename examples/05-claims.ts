// The paper's claim at small scale: what is won by restoring and segmenting with one model, with and without the attention alignment. Runs
// everything one after the other, and goes on where it was when it is started again. Prints the tables of docs/claims.md.
//   pnpm example 05 --base runs/tiny-unet/model [--out runs/claims] [--scenes 240] [--scr-steps 1600] [--seg-steps 1000] [--seeds 3]
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    base: { type: 'string', default: 'runs/tiny-unet/model' },
    out: { type: 'string', default: 'runs/claims' },
    scenes: { type: 'string', default: '240' },
    size: { type: 'string', default: '128' },
    'scr-steps': { type: 'string', default: '1600' },
    'seg-steps': { type: 'string', default: '1000' },
    seeds: { type: 'string', default: '3' },
  },
});
const trainer = fileURLToPath(new URL('../apps/trainer', import.meta.url));
const recipe = (name: string): string => join(trainer, 'recipes', 'tiny', name);
const seeds = Array.from({ length: Number(values.seeds) }, (_, seed) => seed);
const set = join(values.out, 'set');
const at = (...names: string[]): string => join(values.out, ...names);

function rass(...args: string[]): void {
  console.log(`rass ${args.join(' ')}`);
  const { status } = spawnSync(process.execPath, [join(trainer, 'src', 'main.ts'), ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** Trains, unless it is done. @returns the model's folder */
function trained(
  stage: 'scr' | 'seg',
  name: string,
  settings: Readonly<Record<string, string | number | boolean>>,
): string {
  const model = at(name, 'model');
  const sets = Object.entries(settings).flatMap(([field, value]) => ['--set', `${field}=${value}`]);
  if (!existsSync(model)) rass('train', stage, recipe(`${stage}.ts`), '--out', at(name), ...sets);
  return model;
}

interface Scores {
  readonly segmentation?: { readonly miou: number; readonly pixelAccuracy: number };
  readonly restoration?: Record<
    'restored' | 'degraded',
    { readonly psnr: number; readonly ssim: number; readonly lpips: number }
  >;
}

/** Scores, unless it is done. */
function scored(name: string, ...args: string[]): Scores {
  const file = at('scores', `${name}.json`);
  if (!existsSync(file)) rass('eval', set, '--out', file, ...args);
  return JSON.parse(readFileSync(file, 'utf8')) as Scores;
}

/** The last attention score of a run's validations. */
function attentionIou(name: string): number {
  const rows = readFileSync(at(name, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const found = rows.map((row) => JSON.parse(row)['validation/attentionIou'] as number | undefined);
  return found.findLast((value) => value !== undefined) ?? Number.NaN;
}

if (!existsSync(set)) {
  const size = ['--count', values.scenes, '--size', values.size];
  rass('dataset', 'scenes', ...size, '--degradation', recipe('degradation.yml'), '--out', set);
}

const KINDS = { aligned: 0.2, plain: 0 } as const;
type Kind = keyof typeof KINDS;
const kinds = Object.keys(KINDS) as Kind[];
const fixed = {
  'validation.source.kind': 'ade20k',
  'validation.source.folder': set,
  'validation.samples': values.scenes,
};
const restorers = Object.fromEntries(
  kinds.map((kind) => [
    kind,
    trained('scr', `scr-${kind}`, {
      ...fixed,
      model: values.base,
      steps: values['scr-steps'],
      'loss.alignment': KINDS[kind],
      'validation.every': values['scr-steps'],
    }),
  ]),
) as Record<Kind, string>;

const segmenter = (name: string, seed: number, model: string, merge: boolean, degraded: boolean): string =>
  trained('seg', `${name}-${seed}`, {
    model,
    seed,
    steps: values['seg-steps'],
    mergeRestoration: merge,
    'validation.every': 0,
    ...(!degraded && { degradation: 'none' }),
  });

const miou = (scores: Scores): number => 100 * scores.segmentation!.miou;
/** One value for each seed. */
const rows: Record<string, number[]> = {};
const note = (row: string, value: number): void => {
  rows[row] = [...(rows[row] ?? []), value];
};
for (const seed of seeds) {
  const clean = segmenter('seg-clean', seed, restorers.aligned, false, false);
  note('good photographs', miou(scored(`clean-${seed}`, '--model', clean, '--protocol', 'clean')));
  note('DT', miou(scored(`dt-${seed}`, '--model', clean, '--protocol', 'dt')));
  for (const kind of kinds) {
    const r2s = scored(`r2s-${kind}-${seed}`, '--model', clean, '--restorer', restorers[kind], '--protocol', 'r2s');
    note(`R2S, ${kind}`, miou(r2s));
  }
  const tuned = segmenter('seg-ft', seed, restorers.aligned, false, true);
  note('FT', miou(scored(`ft-${seed}`, '--model', tuned, '--protocol', 'ft')));
  for (const kind of kinds) {
    const own = segmenter(`seg-rass-${kind}`, seed, restorers[kind], true, true);
    note(`RASS, ${kind}`, miou(scored(`rass-${kind}-${seed}`, '--model', own, '--protocol', 'rass')));
  }
}

const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
const deviation = (list: readonly number[]): number =>
  Math.sqrt(list.reduce((sum, value) => sum + (value - mean(list)) ** 2, 0) / Math.max(1, list.length - 1));

console.log(`\n| mIoU in % | ${seeds.map((seed) => `seed ${seed}`).join(' | ')} | mean | deviation |`);
console.log(`| --- |${seeds.map(() => ' ---: |').join('')} ---: | ---: |`);
for (const [name, list] of Object.entries(rows)) {
  console.log(`| ${name} | ${[...list, mean(list), deviation(list)].map((value) => value.toFixed(2)).join(' | ')} |`);
}
console.log('\n| restoration | PSNR | SSIM | LPIPS | attention IoU in % |\n| --- | ---: | ---: | ---: | ---: |');
kinds.forEach((kind, i) => {
  const { degraded, restored } = scored(`r2s-${kind}-0`).restoration!;
  const line = (name: string, { psnr, ssim, lpips }: typeof restored, last: string): void =>
    console.log(`| ${name} | ${psnr.toFixed(2)} | ${ssim.toFixed(4)} | ${lpips.toFixed(4)} | ${last} |`);
  if (i === 0) line('as it is', degraded, '');
  line(`SCR, ${kind}`, restored, (100 * attentionIou(`scr-${kind}`)).toFixed(2));
});
