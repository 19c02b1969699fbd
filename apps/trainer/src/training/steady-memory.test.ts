import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { selectBackend } from '@rass/kernels';
import { memory } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RecipeOptions, resolveRecipe } from '../recipe/recipes.ts';
import { openFeed } from '../samples/feed.ts';
import { startTask } from '../tasks/start.ts';
import { train } from './loop.ts';
import { smallScr, smallSeg, smallUnet, smallVae } from './small-recipes.test-support.ts';

const STEPS = 200;
const TIME = 600_000;
/** The first steps make what stays: moments, averages, plans of kernels, and prompts that are kept, at most 64. */
const SETTLED = 100;
const KEPT_PROMPTS = 64;

let folder: string;
const path = (name: string) => join(folder, name);

/** Trains in this process. @returns how many tensors there were after each step */
async function run(options: RecipeOptions): Promise<number[]> {
  const recipe = resolveRecipe(options, options.name);
  const feed = await openFeed({ degradation: 'none', ...recipe });
  const task = await startTask(recipe, feed.classes);
  const counts: number[] = [];
  const print = (line: string) => {
    if (line.startsWith('step ') && !line.includes('validation')) counts.push(memory().numTensors);
  };
  try {
    await train({ task, feed, recipe, out: path(recipe.name), signal: new AbortController().signal, print });
  } finally {
    task.dispose();
    await feed.close();
  }
  return counts;
}

/** Smaller still, with a validation at times. */
const quick = <R extends RecipeOptions>(recipe: R): R => ({
  ...recipe,
  batch: 1,
  accumulate: 1,
  data: { source: { kind: 'scenes', size: 32 }, augment: { crop: 32 }, workers: 1 },
  validation: { every: 50, samples: 2, pictures: 1 },
  checkpoints: { every: 50 },
});

beforeAll(async () => {
  await selectBackend('native');
  folder = mkdtempSync(join(tmpdir(), 'rass-steady-'));
  await run(smallVae(1));
  await run(smallUnet(1, path('small-vae/model')));
  await run({ ...smallScr(1, path('small-unet/model')), name: 'first-scr' });
}, TIME);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each([
  ['scr', () => smallScr(STEPS, path('small-unet/model'))],
  ['seg', () => smallSeg(STEPS, path('first-scr/model'))],
] as const)(
  `keeps as many tensors over ${STEPS} steps: %s`,
  async (_, recipe) => {
    const before = memory().numTensors;
    const counts = await run({ ...quick(recipe()), name: `steady-${_}` });
    expect(counts.length).toBe(STEPS);
    expect(Math.max(...counts.slice(SETTLED))).toBe(Math.min(...counts.slice(SETTLED)));
    expect(counts.at(-1)! - counts[1]!).toBeLessThanOrEqual(KEPT_PROMPTS);
    expect(memory().numTensors).toBe(before);
  },
  TIME,
);
