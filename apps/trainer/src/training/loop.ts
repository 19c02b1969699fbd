import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import {
  adamW,
  type ExponentialAverage,
  exponentialAverage,
  gradientNorm,
  gradientSum,
  groupedVariables,
  type Optimizer,
  type Schedule,
} from '@rass/training';
import { type Checkpoints, type JsonObject, openCheckpoints, type Parts, type Resumed } from '@rass/training/node';
import { dispose, type Tensor } from '@tensorflow/tfjs-core';
import { jsonText, writeBeside } from '../files.ts';
import type { Recipe } from '../recipe/recipes.ts';
import type { Sample } from '../samples/sample.ts';
import { type Journal, openJournal } from './journal.ts';
import type { Helpers } from './processes/helpers.ts';
import { askedOf, checkMetrics, checkPlace, resumeOptions } from './run-checks.ts';
import { scheduleOf } from './schedule.ts';
import { writeSheet } from './sheet.ts';
import type { BatchResult, TrainingTask } from './task.ts';

/** Where a run's samples come from. */
export interface SampleFeed {
  /** The batches of each step from one on, without an end. */
  from(step: number, signal: AbortSignal): AsyncIterable<readonly (readonly Sample[])[]>;
  /** What the samples are beyond what the recipe says of them: a run goes on with the same. */
  readonly identity?: JsonObject;
  /** The fixed samples that are scored. */
  validation(): Promise<readonly Sample[]>;
  close(): Promise<void>;
}

export interface RunOptions {
  readonly task: TrainingTask;
  readonly feed: SampleFeed;
  readonly recipe: Recipe;
  readonly out: string;
  /** Other processes that run batches, too. */
  readonly helpers?: Helpers | undefined;
  /** Ends the run after the step that it is at, with a checkpoint. */
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
}

export interface RunResult {
  readonly step: number;
  /** Whether all steps are done; otherwise the signal has ended the run. */
  readonly finished: boolean;
  /** Where the trained model lies, of a run that is finished. */
  readonly model?: string;
}

interface Run extends RunOptions {
  /** What checkpoints keep of the recipe, and of the weights that the run begins with. */
  readonly asked: JsonObject;
  readonly optimizer: Optimizer;
  readonly average: ExponentialAverage | undefined;
  readonly schedule: Schedule;
  readonly parts: Parts;
  readonly checkpoints: Checkpoints;
}

async function startRun(options: RunOptions): Promise<Run> {
  const { task, recipe, out } = options;
  const { betas } = recipe.optimizer;
  const variables = groupedVariables(task.groups);
  const optimizer = adamW(task.groups, { betas });
  const average = recipe.average && exponentialAverage(variables, recipe.average);
  const parts: Parts = { trained: variables, optimizer, ...(average && { average }), ...task.state };
  const { keepLast, keepBest } = recipe.checkpoints;
  const checkpoints = await openCheckpoints(join(out, 'checkpoints'), { keepLast, keepBest });
  const asked = await askedOf(options);
  return {
    ...options,
    asked,
    optimizer,
    average,
    parts,
    checkpoints,
    schedule: scheduleOf(recipe.optimizer, recipe.steps),
  };
}

/** The results of a step's parts, in their order. */
async function* resultsOf(
  task: TrainingTask,
  helpers: Helpers | undefined,
  parts: readonly (readonly Sample[])[],
  step: number,
): AsyncGenerator<BatchResult> {
  if (helpers !== undefined) yield* await helpers.run(parts, step);
  else {
    const facts = task.factsOf?.(parts);
    for (const [part, samples] of parts.entries()) yield await task.run(samples, { step, part }, facts);
  }
}

/** The gradients of all parts of a step, their mean, with the mean of the terms. */
async function accumulate(
  { task, helpers }: Run,
  parts: readonly (readonly Sample[])[],
  step: number,
): Promise<{ terms: Record<string, number>; gradients: Record<string, Tensor> }> {
  const share = 1 / parts.length;
  const terms: Record<string, number> = {};
  const sum = gradientSum();
  try {
    for await (const result of resultsOf(task, helpers, parts, step)) {
      sum.add(result.gradients, share);
      dispose(result.gradients as Record<string, Tensor>);
      for (const [name, value] of Object.entries(result.terms)) terms[name] = (terms[name] ?? 0) + value * share;
    }
    return { terms, gradients: sum.take() };
  } catch (error) {
    sum.dispose();
    throw error;
  }
}

/** One update. @returns its terms, the norm among them */
async function update(run: Run, parts: readonly (readonly Sample[])[], step: number): Promise<Record<string, number>> {
  const { clip, onNonFinite } = run.recipe.optimizer;
  const { terms, gradients } = await accumulate(run, parts, step);
  try {
    const { norm, scale, nonFinite } = await gradientNorm(gradients, {
      clip,
      onNonFinite: onNonFinite === 'skip' ? 'skip' : 'error',
    });
    if (nonFinite === undefined) {
      run.optimizer.step(gradients, { learningRate: run.schedule(step), gradientScale: scale });
      run.average?.update();
    } else run.print(`step ${step + 1}: left out, since the gradient of ${nonFinite} is not finite`);
    return { ...terms, norm };
  } finally {
    dispose(gradients);
  }
}

async function save(run: Run, step: number, metrics: Readonly<Record<string, number>>): Promise<void> {
  await run.checkpoints.save({ step, parts: run.parts, recipe: run.asked, metrics });
}

/** Scores, with the averaged weights where there are such, and writes the sheet. */
async function validate(run: Run, journal: Journal, step: number): Promise<Record<string, number>> {
  const { task, feed, recipe, out } = run;
  if (task.validate === undefined || recipe.validation.every === 0) {
    checkMetrics(recipe, {});
    return {};
  }
  const samples = await feed.validation();
  const score = () => task.validate!(samples, { pictures: recipe.validation.pictures });
  const { metrics, sheet } = run.average === undefined ? await score() : await run.average.during(score);
  checkMetrics(recipe, metrics);
  await writeSheet(join(out, 'sheets'), step, sheet, metrics);
  journal.validation(step, metrics, sheet);
  return { ...metrics };
}

const isDue = (step: number, every: number, steps: number): boolean =>
  every > 0 && (step % every === 0 || step === steps);

async function steps(run: Run, journal: Journal, start: number): Promise<number> {
  const { recipe, feed, signal } = run;
  const ending = new AbortController();
  let step = start;
  try {
    if (start === 0) await validate(run, journal, 0);
    if (start >= recipe.steps) return step;
    let asked = performance.now();
    for await (const parts of feed.from(start, ending.signal)) {
      // Seconds that the compute has waited for samples.
      const dataWait = (performance.now() - asked) / 1000;
      const terms = { ...(await update(run, parts, step)), dataWait };
      step += 1;
      // Native ops hold the thread: signals and messages of workers are heard between two steps.
      await setImmediate();
      journal.step(step, terms, run.schedule(step - 1));
      const metrics = isDue(step, recipe.validation.every, recipe.steps) ? await validate(run, journal, step) : {};
      const isLast = step === recipe.steps || signal.aborted;
      if (isLast || isDue(step, recipe.checkpoints.every, recipe.steps)) await save(run, step, metrics);
      if (isLast) return step;
      asked = performance.now();
    }
    return step;
  } finally {
    ending.abort();
  }
}

function announce({ print }: Run, resumed: Resumed | undefined): void {
  if (resumed === undefined) return;
  print(`resumed from step ${resumed.step}: ${resumed.path}`);
  for (const { path, reason } of resumed.broken) print(`left aside a checkpoint that is not whole: ${path}: ${reason}`);
}

async function finish(run: Run): Promise<string> {
  const model = join(run.out, 'model');
  const samples = await run.feed.validation();
  const write = () => run.task.save(model, samples);
  if (run.average === undefined) await write();
  else await run.average.during(write);
  return model;
}

/** Trains by a recipe, from the newest checkpoint of the folder on, to the end or to the signal. Every step depends on its
 * number alone, so that runs that were killed end as one that was not.
 * @throws when the folder holds another run, a checkpoint cannot be read or written, and what the task throws */
export async function train(options: RunOptions): Promise<RunResult> {
  const { recipe, out } = options;
  await mkdir(out, { recursive: true });
  const run = await startRun(options);
  try {
    const resumed = await run.checkpoints.resume(run.parts, resumeOptions(options, run.asked));
    await checkPlace(options, resumed);
    announce(run, resumed);
    const start = resumed?.step ?? 0;
    await writeBeside(join(out, 'recipe.json'), jsonText(recipe));
    const journal = openJournal({ out, start, steps: recipe.steps, every: recipe.logEvery, print: options.print });
    try {
      const step = await steps(run, journal, start);
      if (step < recipe.steps) return { step, finished: false };
      return { step, finished: true, model: await finish(run) };
    } finally {
      journal.close();
    }
  } finally {
    await run.checkpoints.close();
    run.optimizer.dispose();
    run.average?.dispose();
  }
}
