import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memory } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RecipeOptions } from '../recipe/recipes.ts';
import { runSmall, trainSmallModel } from './run-small.test-support.ts';
import { smallScr, smallSeg } from './small-recipes.test-support.ts';

const STEPS = 200;
const TIME = 900_000;
/** The first steps make what stays: moments, averages, plans of kernels, and prompts that are kept, at most 64. */
const SETTLED = 100;
const KEPT_PROMPTS = 64;

let folder: string;
const path = (name: string) => join(folder, name);

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
  folder = mkdtempSync(join(tmpdir(), 'rass-steady-'));
  await trainSmallModel(folder);
}, TIME);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each([
  ['scr', () => smallScr(STEPS, path('small-unet/model'))],
  ['seg', () => smallSeg(STEPS, path('small-scr/model'))],
] as const)(
  `keeps as many tensors over ${STEPS} steps: %s`,
  async (name, recipe) => {
    const before = memory().numTensors;
    const counts = await runSmall(folder, { ...quick(recipe()), name: `steady-${name}` });
    expect(counts.length).toBe(STEPS);
    expect(Math.max(...counts.slice(SETTLED))).toBe(Math.min(...counts.slice(SETTLED)));
    expect(counts.at(-1)! - counts[1]!).toBeLessThanOrEqual(KEPT_PROMPTS);
    expect(memory().numTensors).toBe(before);
  },
  TIME,
);
