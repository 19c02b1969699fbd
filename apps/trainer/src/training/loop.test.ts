import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parameterGroups } from '@rass/training';
import { mul, setBackend, sub, type Tensor, tensor1d, tidy, type Variable, variable } from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { resolveRecipe, type VaeRecipe } from '../recipe/recipes.ts';
import type { Sample } from '../samples/sample.ts';
import { type RunOptions, type SampleFeed, train } from './loop.ts';
import { checkRun } from './run-checks.ts';
import { smallVae } from './small-recipes.test-support.ts';
import type { TrainingTask } from './task.ts';

let folder: string;
beforeEach(async () => {
  await setBackend('cpu');
  folder = mkdtempSync(join(tmpdir(), 'rass-loop-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const recipeOf = (options: object): VaeRecipe => resolveRecipe({ ...smallVae(6), ...options }, 'test') as VaeRecipe;

/** Draws a weight to each step's number; the sample's first byte is the step. */
class Chase implements TrainingTask {
  readonly weight: Variable = variable(tensor1d([0.5, -1]));
  readonly groups = parameterGroups({ weight: this.weight }, [], { weightDecay: 0 });
  readonly #onStep: (step: number) => void;
  constructor(onStep: (step: number) => void = () => {}) {
    this.#onStep = onStep;
  }

  async run(samples: readonly Sample[], { step }: { readonly step: number }) {
    this.#onStep(step);
    const target = samples.reduce((sum, { clean }) => sum + clean.data[0]!, 0) / samples.length;
    const gradient = tidy(() => mul(2, sub(this.weight, target)));
    const [value] = await this.weight.data();
    return { terms: { loss: (value! - target) ** 2 }, gradients: { weight: gradient } as Record<string, Tensor> };
  }

  async validate() {
    const [value] = await this.weight.data();
    const picture = { width: 2, height: 1, data: new Uint8Array(6) };
    return { metrics: { value: value! }, sheet: [{ title: 'one', pictures: [{ caption: 'black', picture }] }] };
  }

  async save() {}
  dispose() {
    this.weight.dispose();
  }
}

const sampleOf = (value: number): Sample => {
  const image = { width: 1, height: 1, data: Uint8Array.of(value, 0, 0) };
  return { id: String(value), clean: image, degraded: image };
};

const feed: SampleFeed = {
  async *from(step) {
    for (let each = step; ; each++)
      yield [
        [sampleOf(each), sampleOf(each + 1)],
        [sampleOf(each), sampleOf(each + 3)],
      ];
  },
  validation: async () => [],
  close: async () => {},
};

interface Ran {
  readonly weight: number[];
  readonly lines: string[];
  readonly result: Awaited<ReturnType<typeof train>>;
}

async function run(recipe: VaeRecipe, { name = 'run', ...options }: Partial<RunOptions> & { name?: string } = {}) {
  const lines: string[] = [];
  const task = (options.task as Chase) ?? new Chase();
  const signal = new AbortController().signal;
  const out = join(folder, name);
  const result = await train({ feed, recipe, out, signal, print: (line) => lines.push(line), ...options, task });
  const weight = Array.from(await task.weight.data());
  task.dispose();
  return { weight, lines, result } satisfies Ran;
}

/** A run that is told to stop while it is at a step. */
async function runUntil(recipe: VaeRecipe, step: number) {
  const controller = new AbortController();
  const task = new Chase((at) => {
    if (at === step) controller.abort();
  });
  return run(recipe, { task, signal: controller.signal });
}

it('ends after the step that it is at when it is told to, with a checkpoint, and goes on to the same end', async () => {
  const recipe = recipeOf({ average: { decay: 0.5 }, checkpoints: { every: 100 } });
  const whole = await run(recipe, { name: 'whole' });
  expect(whole.result).toMatchObject({ step: 6, finished: true });
  const stopped = await runUntil(recipe, 3);
  expect(stopped.result).toEqual({ step: 4, finished: false });
  const resumed = await run(recipe);
  expect(resumed.lines[0]).toContain('resumed from step 4');
  expect(resumed.result).toMatchObject({ step: 6, finished: true });
  expect(resumed.weight).toEqual(whole.weight);
});

it('hears a signal between two steps, though nothing else lets go of the thread', async () => {
  const controller = new AbortController();
  const task = new Chase((step) => {
    if (step === 1) setImmediate(() => controller.abort());
  });
  const { result } = await run(recipeOf({}), { task, signal: controller.signal });
  expect(result).toEqual({ step: 2, finished: false });
});

it('writes over no model that it has not made, and not over the one that it begins with', async () => {
  const model = join(folder, 'run', 'model');
  mkdirSync(model, { recursive: true });
  await expect(run(recipeOf({}))).rejects.toThrow(
    `${join(folder, 'run')}: a run begins in a folder of its own; got a model there, without checkpoints; give another --out`,
  );
  const recipe = { ...recipeOf({}), model } as unknown as VaeRecipe;
  await expect(run(recipe)).rejects.toThrow('a run leaves the model that it begins with as it is');
});

it('refuses to go on over other weights, or to fewer steps than are done', async () => {
  const model = join(folder, 'base');
  mkdirSync(model);
  writeFileSync(join(model, 'unet.safetensors'), 'one');
  const recipe = { ...recipeOf({ steps: 3 }), model } as unknown as VaeRecipe;
  await run(recipe);
  await expect(run({ ...recipe, steps: 2 })).rejects.toThrow(
    'a run has at most its steps behind it; got 3 of 2; ask for more, or give another --out',
  );
  writeFileSync(join(model, 'unet.safetensors'), 'two');
  await expect(run({ ...recipe, steps: 4 })).rejects.toThrow('modelWeights was');
});

it('refuses to go on with other samples, wherever they lie', async () => {
  const source = (folder: string) => ({ data: { source: { kind: 'ade20k', folder }, augment: { crop: 64 } } });
  const samples = (...classes: string[]) => ({ ...feed, identity: { sets: [{ classes, length: 4, names: 'abc' }] } });
  await run(recipeOf({ steps: 2, ...source('here') }), { feed: samples('sky', 'road') });
  await expect(run(recipeOf({ ...source('here') }), { feed: samples('road', 'sky') })).rejects.toThrow(
    'samples.sets.0.classes.0 was "sky" and is "road"',
  );
  // A set that has moved is the same set.
  const moved = await run(recipeOf({ ...source('there') }), { feed: samples('sky', 'road') });
  expect(moved.lines[0]).toContain('resumed from step 2');
  await expect(run(recipeOf({ ...source('there') }), { name: 'run' })).rejects.toThrow('samples');
  const split = { kind: 'ade20k', folder: 'there', split: 'validation' };
  await expect(
    run(recipeOf({ data: { source: split, augment: { crop: 64 } } }), { feed: samples('sky', 'road') }),
  ).rejects.toThrow('data.source.split was nothing and is "validation"');
});

it('goes on with what an earlier version began, by the same decays and sets', async () => {
  const source = (folder: string) => ({ data: { source: { kind: 'ade20k', folder }, augment: { crop: 64 } } });
  const same = { normDecay: 0.02, embeddingDecay: 0.02 };
  const recipe = (folder: string, decays: object = same) =>
    recipeOf({ ...source(folder), optimizer: { weightDecay: 0.02, ...decays } });
  // As version 0 saved it: one decay for all, and nothing of what the samples are.
  const old = JSON.parse(JSON.stringify({ ...recipe('here'), steps: 2 }));
  for (const name of Object.keys(same)) delete old.optimizer[name];
  await run(old);
  const named = { ...feed, identity: { sets: [{ classes: ['sky'], length: 4, names: 'abc' }] } };
  await expect(run(recipe('here', {}), { feed: named })).rejects.toThrow(
    'by the recipe that it began with; optimizer.normDecay was 0.02 and is 0; optimizer.embeddingDecay was 0.02 and is 0; change it back',
  );
  await expect(run(recipe('there'), { feed: named })).rejects.toThrow(
    'began with; data.source.folder was "here" and is "there"; change it back',
  );
  const checked = { recipe: recipe('here'), feed: named, out: join(folder, 'run') };
  await checkRun(checked);
  const resumed = await run(recipe('here'), { feed: named });
  expect(resumed.lines[0]).toContain('resumed from step 2');
  expect(resumed.result).toMatchObject({ step: 6, finished: true });
  // From here on it is known what the samples are.
  const others = { ...named, identity: { sets: [{ classes: ['road'], length: 4, names: 'abc' }] } };
  await expect(checkRun({ ...checked, feed: others })).rejects.toThrow('samples.sets.0.classes.0 was "sky"');
});

it('refuses to keep the best of what no validation gives', async () => {
  const keepBest = [{ metric: 'values', mode: 'max' }];
  const recipe = recipeOf({ checkpoints: { keepBest }, validation: { every: 2, samples: 1 } });
  await expect(run(recipe)).rejects.toThrow(
    'recipe: checkpoints.keepBest: a metric of the validation, value; got "values"; name one of them',
  );
});

it('does nothing again when all steps are done', async () => {
  const first = await run(recipeOf({}));
  const steps: number[] = [];
  const again = await run(recipeOf({}), { task: new Chase((step) => steps.push(step)) });
  expect(steps).toEqual([]);
  expect(again.weight).toEqual(first.weight);
});

it('goes on for longer where the schedule does not depend on the end, and refuses other changes', async () => {
  const short = await run(recipeOf({ steps: 3 }));
  expect(short.result.step).toBe(3);
  const long = await run(recipeOf({ steps: 6, logEvery: 2, about: 'longer' }));
  expect(long.weight).toEqual((await run(recipeOf({ steps: 6 }), { name: 'whole' })).weight);
  await expect(run(recipeOf({ optimizer: { rate: 0.5 } }))).rejects.toThrow('optimizer.rate');
  const poly = { optimizer: { schedule: { kind: 'poly' } } };
  await run(recipeOf({ ...poly, steps: 2 }), { name: 'poly' });
  await expect(run(recipeOf({ ...poly, steps: 4 }), { name: 'poly' })).rejects.toThrow('steps');
});

it('logs terms, rates, validations and sheets', async () => {
  const recipe = recipeOf({ logEvery: 2, validation: { every: 3, samples: 1 } });
  const { lines } = await run(recipe);
  const out = join(folder, 'run');
  const rows = readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rows.filter((row) => 'loss' in row).map((row) => row.step)).toEqual([2, 4, 6]);
  expect(rows.filter((row) => 'validation/value' in row).map((row) => row.step)).toEqual([0, 3, 6]);
  const losses = rows.filter((row) => 'loss' in row);
  expect(losses.every((row) => row.learningRate > 0 && row.norm > 0 && row.dataWait >= 0)).toBe(true);
  expect(readdirSync(join(out, 'sheets'))).toEqual([0, 3, 6].map((step) => `step-0000000${step}.html`));
  const sheet = readFileSync(join(out, 'sheets', 'step-00000003.html'), 'utf8');
  expect(sheet).toContain('black');
  expect(sheet).toContain('data:image/png;base64,');
  expect(readdirSync(join(out, 'events'))[0]).toMatch(/^events\.out\.tfevents/);
  expect(lines.filter((line) => line.startsWith('step ')).length).toBe(6);
  expect(JSON.parse(readFileSync(join(out, 'recipe.json'), 'utf8'))).toEqual(JSON.parse(JSON.stringify(recipe)));
});

class Broken extends Chase {
  override async run(samples: readonly Sample[], place: { readonly step: number }) {
    const { terms, gradients } = await super.run(samples, place);
    if (place.step !== 2) return { terms, gradients };
    gradients['weight']!.dispose();
    return { terms, gradients: { weight: tensor1d([Number.NaN, 0]) } as Record<string, Tensor> };
  }
}

it('asks a task once for each update what its batches know of each other, and tells each of them', async () => {
  const told: unknown[] = [];
  class Counting extends Chase {
    factsOf(parts: readonly (readonly Sample[])[]) {
      return { numMasks: parts.flat().reduce((sum, { clean }) => sum + clean.data[0]!, 0) };
    }
    override async run(samples: readonly Sample[], place: { readonly step: number }, facts?: unknown) {
      told.push(facts);
      return super.run(samples, place);
    }
  }
  await run(recipeOf({ steps: 2, accumulate: 2 }), { task: new Counting() });
  // Samples 0, 1, 0, 3 and then 1, 2, 1, 4.
  expect(told).toEqual([4, 4, 8, 8].map((numMasks) => ({ numMasks })));
});

it('stops at gradients that are not finite, or leaves the step out where the recipe says so', async () => {
  await expect(run(recipeOf({}), { task: new Broken() })).rejects.toThrow('weight');
  expect(existsSync(join(folder, 'run', 'checkpoints', 'step-00000002'))).toBe(true);
  const recipe = recipeOf({ optimizer: { onNonFinite: 'skip' } });
  const { lines, weight } = await run(recipe, { task: new Broken(), name: 'skipping' });
  expect(lines.join('\n')).toContain('step 3: left out, since the gradient of weight is not finite');
  expect(weight.every(Number.isFinite)).toBe(true);
});
