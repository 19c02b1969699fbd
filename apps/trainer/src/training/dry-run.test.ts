import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { selectBackend } from '@rass/kernels';
import { memory } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { resolveRecipe } from '../recipe/recipes.ts';
import { dryRun } from './dry-run.ts';
import { runSmall } from './run-small.test-support.ts';
import { smallVae } from './small-recipes.test-support.ts';

let folder: string;
const path = (...names: string[]) => join(folder, ...names);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rass-dry-'));
  await selectBackend('native');
  await runSmall(folder, smallVae(2));
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a dry run prints, or why it ends. */
async function tried(change: object, out = path('new')): Promise<string> {
  const lines: string[] = [];
  const recipe = resolveRecipe({ ...smallVae(2), ...change }, 'test');
  const before = memory().numTensors;
  const error = await dryRun(recipe, out, (line) => lines.push(line)).catch((reason: Error) => reason.message);
  expect(memory().numTensors).toBe(before);
  return error ?? lines.join('\n');
}

const scenes = { kind: 'scenes', size: 64, length: 8 };
const data = { source: { ...scenes, keep: 'kept' }, augment: { crop: 64 }, workers: 0 };

it('takes one batch and one validation, and writes nothing', async () => {
  const keep = path('kept');
  const said = await tried({ data: { ...data, source: { ...scenes, keep } }, validation: { every: 1, samples: 2 } });
  expect(said).toMatch(/loss \d.*\n\d+\.\d\d s for the first batch; all 2 steps would take/);
  expect([existsSync(keep), existsSync(path('new'))]).toEqual([false, false]);
  expect(readdirSync(folder)).toEqual(['small-vae']);
  // A run that is there could go on.
  expect(await tried({}, path('small-vae'))).toContain('for the first batch');
});

it('refuses what the run refuses', async () => {
  expect(await tried({ optimizer: { rate: 0.5 } }, path('small-vae'))).toContain(
    'optimizer.rate was 0.0001 and is 0.5',
  );
  expect(await tried({ steps: 1 }, path('small-vae'))).toContain('a run has at most its steps behind it; got 2 of 1');
  const keepBest = [{ metric: 'values', mode: 'max' }];
  const judged = { checkpoints: { keepBest }, validation: { every: 1, samples: 1 } };
  expect(await tried(judged)).toMatch(/checkpoints\.keepBest: a metric of the validation, .*psnr.*; got "values"/);
  expect(await tried({ checkpoints: { keepBest } })).toContain(
    'a metric of the validation, none, since there is no validation',
  );
  const nowhere = { every: 1, source: { kind: 'folder', folder: path('nowhere') } };
  expect(await tried({ validation: nowhere })).toContain('it is a folder of images; got no folder');
  mkdirSync(path('old', 'model'), { recursive: true });
  expect(await tried({}, path('old'))).toContain('a run begins in a folder of its own; got a model there');
});

it.each(['model_index.json', 'classes.json'])('refuses the folder of a model or a data set, with %s', async (name) => {
  const out = path(`with-${name}`);
  mkdirSync(out);
  writeFileSync(join(out, name), '{}');
  expect(await tried({}, out)).toContain(
    `a run begins in a folder of its own; got one of a model or a data set, with ${name}`,
  );
});

it('refuses a place that cannot be written to', async () => {
  writeFileSync(path('file'), 'a file');
  const said = await tried({}, path('file', 'run'));
  expect(said).toContain(`a run writes into its folder; got a file at ${path('file')}; give another --out`);
});
