import { describeGroups } from '@rass/training';
import { memoryUse } from '@rass/training/node';
import { dispose, type Tensor } from '@tensorflow/tfjs-core';
import type { SourceRecipe } from '../recipe/fields.ts';
import type { Recipe } from '../recipe/recipes.ts';
import { checkSamples } from '../samples/check-samples.ts';
import { openRecipeFeed } from '../samples/recipe-feed.ts';
import { startTask } from '../tasks/start.ts';
import type { SampleFeed } from './loop.ts';
import { checkMetrics, checkRun } from './run-checks.ts';
import type { TrainingTask } from './task.ts';

/** A source that keeps no scene that it draws. */
function unkept(source: SourceRecipe): SourceRecipe {
  if (source.kind === 'mix')
    return {
      ...source,
      parts: source.parts.map((part) => ({ ...part, source: unkept(part.source) as typeof part.source })),
    };
  if (source.kind !== 'scenes') return source;
  const { keep: _, ...drawn } = source;
  return drawn;
}

/** The first batch, forward and backward. */
async function tryBatch(recipe: Recipe, feed: SampleFeed, task: TrainingTask, print: (line: string) => void) {
  const stop = new AbortController();
  for await (const [samples] of feed.from(0, stop.signal)) {
    const start = performance.now();
    const { terms, gradients } = await task.run(samples!, { step: 0, part: 0 });
    dispose(gradients as Record<string, Tensor>);
    const seconds = (performance.now() - start) / 1000;
    const hours = (seconds * recipe.accumulate * recipe.steps) / 3600;
    const { process: bytes } = memoryUse();
    const values = Object.entries(terms).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
    print(values.join('  '));
    print(
      `${seconds.toFixed(2)} s for the first batch; all ${recipe.steps} steps would take about ${hours.toFixed(1)} h` +
        (bytes === undefined ? '' : `; ${(bytes / 1e9).toFixed(2)} GB`),
    );
    break;
  }
}

/** One step of everything, and a validation of one sample, without a run: what it takes, and that it works. Nothing is written.
 * @throws what the run would */
export async function dryRun(recipe: Recipe, out: string, print: (line: string) => void): Promise<void> {
  const feed = await openRecipeFeed(recipe);
  try {
    await checkSamples(recipe, feed);
    await checkRun({ recipe, feed, out });
  } finally {
    await feed.close();
  }
  const drawing = await openRecipeFeed({ ...recipe, data: { ...recipe.data, source: unkept(recipe.data.source) } });
  try {
    const task = await startTask(recipe, drawing.classes);
    try {
      print(describeGroups(task.groups, recipe.optimizer.rate));
      await tryBatch(recipe, drawing, task, print);
      if (task.validate === undefined || recipe.validation.every === 0) return checkMetrics(recipe, {});
      const samples = (await drawing.validation()).slice(0, 1);
      checkMetrics(recipe, (await task.validate(samples, { pictures: 0 })).metrics);
    } finally {
      task.dispose();
    }
  } finally {
    await drawing.close();
  }
}
