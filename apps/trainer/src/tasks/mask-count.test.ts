import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LabelMap } from '@rass/images';
import { expectClose } from '@rass/testkit';
import { dispose, type Tensor } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveRecipe } from '../recipe/recipes.ts';
import { openFeed } from '../samples/feed.ts';
import type { Sample } from '../samples/sample.ts';
import { trainSmallModel } from '../training/run-small.test-support.ts';
import { smallSeg } from '../training/small-recipes.test-support.ts';
import type { TrainingTask, UpdateFacts } from '../training/task.ts';
import { meanMasks } from './mask-count.ts';
import { startTask } from './start.ts';

const mapOf = (...data: number[]): { labels: LabelMap } => ({
  labels: { width: data.length, height: 1, data: Uint8Array.from(data) },
});

it('counts the classes of each photograph, and takes their mean over the batches, at least 1', () => {
  // Two and one, and none: three masks in two batches.
  expect(meanMasks([[mapOf(0, 1, 1, 255), mapOf(2)], [mapOf(255)]])).toBe(1.5);
  expect(meanMasks([[mapOf(0, 1, 2, 3)]])).toBe(4);
  expect(meanMasks([[mapOf(3, 255)], [mapOf(255)], [mapOf(255)]])).toBe(1);
});

const TIME = 300_000;

describe('stage 2', () => {
  let folder: string;
  let task: TrainingTask;
  let samples: readonly Sample[];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rass-masks-'));
    await trainSmallModel(folder);
    const recipe = resolveRecipe(smallSeg(1, join(folder, 'small-scr', 'model')), 'test');
    const feed = await openFeed({ degradation: 'none', ...recipe });
    task = await startTask(recipe, feed.classes);
    samples = await feed.validation();
    await feed.close();
  }, TIME);
  afterAll(() => {
    task.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  const labelled = (sample: Sample, classes: number): Sample => {
    const { width, height } = sample.labels!;
    const data = Uint8Array.from({ length: width * height }, (_, i) => Math.floor(i / width) % classes);
    return { ...sample, labels: { width, height, data } };
  };
  const lossOf = async (sample: Sample, facts?: UpdateFacts): Promise<{ mask: number; dice: number }> => {
    const { terms, gradients } = await task.run([sample], { step: 0, part: 0 }, facts);
    dispose(gradients as Record<string, Tensor>);
    return { mask: terms.mask!, dice: terms.dice! };
  };

  it(
    'divides what it sums over masks by the mean number of all batches, not by each batch its own',
    async () => {
      const parts = [[labelled(samples[0]!, 1)], [labelled(samples[0]!, 5)]];
      const facts = task.factsOf!(parts);
      expect(facts).toEqual({ numMasks: 3 });
      for (const [part, own] of [
        [parts[0]![0]!, 1],
        [parts[1]![0]!, 5],
      ] as const) {
        const [alone, among] = [await lossOf(part), await lossOf(part, facts)];
        await expectClose([among.mask, among.dice], [(alone.mask * own) / 3, (alone.dice * own) / 3], {
          relative: 1e-5,
        });
      }
    },
    TIME,
  );
});
