// The paper's claim at small scale: what is won by restoring and segmenting with one model, with and without the attention alignment. Two
// runs at a time, each with half of the cores, which is faster than one with all; each goes on where it was when this is started again, and
// writes what it says to logs/ in the folder. Prints the tables of docs/claims.md; of scores that are there, `--out docs/claims`, at once.
//   pnpm example 05 [--base models/tiny-base] [--out runs/claims] [--scenes 240] [--scr-steps 1600] [--seg-steps 1000] [--seeds 3] [--jobs 2]
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pLimit from 'p-limit';

const { values } = parseArgs({
  options: {
    base: { type: 'string', default: 'models/tiny-base' },
    out: { type: 'string', default: 'runs/claims' },
    scenes: { type: 'string', default: '240' },
    size: { type: 'string', default: '128' },
    'scr-steps': { type: 'string', default: '1600' },
    'seg-steps': { type: 'string', default: '1000' },
    seeds: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '2' },
  },
});
const trainer = fileURLToPath(new URL('../apps/trainer', import.meta.url));
const recipe = (name: string): string => join(trainer, 'recipes', 'tiny', name);
const seeds = Array.from({ length: Number(values.seeds) }, (_, seed) => seed);
const at = (...names: string[]): string => join(values.out, ...names);
const set = at('set');

const jobs = Number(values.jobs);
const limit = pLimit(jobs);
const threads = String(Math.max(1, Math.floor(availableParallelism() / jobs)));
/** Made when it is first asked for, once. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** @throws when the command fails, with where it wrote why */
const rass = (name: string, ...args: string[]): Promise<void> =>
  limit(async () => {
    const start = performance.now();
    mkdirSync(at('logs'), { recursive: true });
    console.log(`${name}: rass ${args.join(' ')}`);
    const env = { ...process.env, TF_NUM_INTRAOP_THREADS: threads, TF_NUM_INTEROP_THREADS: '1' };
    const child = spawn(process.execPath, [join(trainer, 'src', 'main.ts'), ...args], { env });
    const log = at('logs', `${name}.log`);
    const ended = new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
    const write = (): NodeJS.WritableStream => createWriteStream(log, { flags: 'a' });
    await Promise.all([pipeline(child.stdout, write()), pipeline(child.stderr, write())]);
    const status = await ended;
    if (status !== 0) throw new Error(`${name}: rass ended with ${status}; ${log} says why`);
    console.log(`${name}: done in ${((performance.now() - start) / 60_000).toFixed(1)} min`);
  });

/** Trains, unless it is done. @returns the model's folder */
async function trained(
  stage: 'scr' | 'seg',
  name: string,
  settings: Readonly<Record<string, string | number | boolean>>,
): Promise<string> {
  const model = at(name, 'model');
  const sets = Object.entries(settings).flatMap(([field, value]) => ['--set', `${field}=${value}`]);
  if (!existsSync(model)) await rass(name, 'train', stage, recipe(`${stage}.ts`), '--out', at(name), ...sets);
  return model;
}

interface Scores {
  readonly segmentation?: { readonly miou: number; readonly pixelAccuracy: number };
  readonly restoration?: Record<
    'restored' | 'degraded',
    { readonly psnr: number; readonly ssim: number; readonly lpips: number }
  >;
}

/** The scenes that everything is scored on. */
const drawn = once(async () => {
  const looks = ['--count', values.scenes, '--size', values.size, '--degradation', recipe('degradation.yml')];
  if (!existsSync(set)) await rass('set', 'dataset', 'scenes', '--out', set, ...looks);
});

/** What makes a model's folder. */
type Made = () => Promise<string>;

/** Scores, unless it is done: scores that are there need no model any more. */
async function scored(name: string, model: Made, protocol: string, restorer?: Made): Promise<Scores> {
  const file = at('scores', `${name}.json`);
  if (!existsSync(file)) {
    await drawn();
    const restoring = restorer === undefined ? [] : ['--restorer', await restorer()];
    const args = ['--out', file, '--model', await model(), '--protocol', protocol, ...restoring];
    await rass(`eval-${name}`, 'eval', set, ...args);
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Scores;
}

/** The last attention score of a run's validations. */
function attentionIou(name: string): number {
  const rows = readFileSync(at(name, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const found = rows.map((row) => JSON.parse(row)['validation/attentionIou'] as number | undefined);
  return found.findLast((value) => value !== undefined) ?? Number.NaN;
}

const KINDS = { aligned: 1, plain: 0 } as const;
type Kind = keyof typeof KINDS;
const kinds = Object.keys(KINDS) as Kind[];
const fixed = {
  'validation.source.kind': 'ade20k',
  'validation.source.folder': set,
  'validation.samples': values.scenes,
};
const restorerOf = (kind: Kind): Made =>
  once(async () => {
    await drawn();
    return trained('scr', `scr-${kind}`, {
      ...fixed,
      model: values.base,
      steps: values['scr-steps'],
      'loss.alignment': KINDS[kind],
      'validation.every': values['scr-steps'],
    });
  });
const restorers = { aligned: restorerOf('aligned'), plain: restorerOf('plain') };

const segmenter = (name: string, seed: number, model: Made, merge: boolean, degraded: boolean): Made =>
  once(async () =>
    trained('seg', `${name}-${seed}`, {
      model: await model(),
      seed,
      steps: values['seg-steps'],
      mergeRestoration: merge,
      'validation.every': 0,
      ...(!degraded && { degradation: 'none' }),
    }),
  );

/** One value for each seed, in percent. */
const rows: Record<string, number[]> = {};
const restorations: Partial<Record<Kind, NonNullable<Scores['restoration']>>> = {};
async function row(
  name: string,
  seed: number,
  file: string,
  model: Made,
  protocol: string,
  restorer?: Made,
): Promise<Scores> {
  const scores = await scored(`${file}-${seed}`, model, protocol, restorer);
  rows[name] ??= [];
  rows[name][seed] = 100 * scores.segmentation!.miou;
  return scores;
}

async function onClean(seed: number): Promise<void> {
  const model = segmenter('seg-clean', seed, restorers.aligned, false, false);
  await row('good photographs', seed, 'clean', model, 'clean');
  await row('DT', seed, 'dt', model, 'dt');
  for (const kind of kinds) {
    // Stage 1 is trained once: every seed of stage 2 has the same restored pictures.
    restorations[kind] = (await row(`R2S, ${kind}`, seed, `r2s-${kind}`, model, 'r2s', restorers[kind])).restoration!;
  }
}

async function tuned(seed: number): Promise<void> {
  await row('FT', seed, 'ft', segmenter('seg-ft', seed, restorers.aligned, false, true), 'ft');
}

async function own(seed: number, kind: Kind): Promise<void> {
  const model = segmenter(`seg-rass-${kind}`, seed, restorers[kind], true, true);
  await row(`RASS, ${kind}`, seed, `rass-${kind}`, model, 'rass');
}

for (const seed of seeds) await Promise.all([onClean(seed), tuned(seed), ...kinds.map((kind) => own(seed, kind))]);

const order = ['good photographs', 'DT', ...kinds.map((kind) => `R2S, ${kind}`), 'FT', ...kinds.map((kind) => `RASS, ${kind}`)]; // biome-ignore format: one line
const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
const deviation = (list: readonly number[]): number =>
  Math.sqrt(list.reduce((sum, value) => sum + (value - mean(list)) ** 2, 0) / Math.max(1, list.length - 1));

console.log(`\n| mIoU in % | ${seeds.map((seed) => `seed ${seed}`).join(' | ')} | mean | deviation |`);
console.log(`| --- |${seeds.map(() => ' ---: |').join('')} ---: | ---: |`);
for (const name of order) {
  const list = rows[name]!;
  console.log(`| ${name} | ${[...list, mean(list), deviation(list)].map((value) => value.toFixed(2)).join(' | ')} |`);
}
console.log('\n| restoration | PSNR | SSIM | LPIPS | attention IoU in % |\n| --- | ---: | ---: | ---: | ---: |');
for (const [i, kind] of kinds.entries()) {
  const { degraded, restored } = restorations[kind]!;
  const line = (name: string, { psnr, ssim, lpips }: typeof restored, last: string): void =>
    console.log(`| ${name} | ${psnr.toFixed(2)} | ${ssim.toFixed(4)} | ${lpips.toFixed(4)} | ${last} |`);
  if (i === 0) line('as it is', degraded, '');
  line(`SCR, ${kind}`, restored, (100 * attentionIou(`scr-${kind}`)).toFixed(2));
}
