import type { Dataset, DatasetSample } from '@rass/datasets';
import { degrade, RASS_DEGRADATION } from '@rass/degradation';
import type { RgbImage } from '@rass/images';
import type { Pipeline } from '@rass/pipeline';
import { drawScene, SCENE_CLASSES } from '@rass/scenes';
import { expect, it } from 'vitest';
import { evaluate } from './evaluate.ts';

const CLASSES = SCENE_CLASSES.map(({ name, colour }) => ({ name, colour }));

const setOf = (samples: readonly DatasetSample[]): Dataset => ({
  length: samples.length,
  classes: CLASSES,
  get: async (index) => samples[index]!,
});

const scenes = [1, 2].map((seed) => ({ id: `scene ${seed}`, ...drawScene({ seed, width: 32, height: 32 }) }));
const bad = scenes.map(({ image }, i) => degrade(image, RASS_DEGRADATION, { seed: 50 + i }).image);

/** What it is given to segment. */
function watcher(): { readonly segmenter: Pipeline; readonly seen: RgbImage[] } {
  const seen: RgbImage[] = [];
  const segment = async (image: RgbImage) => {
    seen.push(image);
    return { width: image.width, height: image.height, data: new Uint8Array(image.width * image.height) };
  };
  return { segmenter: { classes: CLASSES, segment } as unknown as Pipeline, seen };
}

it('degrades what has no bad photograph beside it where that is asked for, and nothing else', async () => {
  const alone = setOf(scenes.map(({ id, labels }, i) => ({ id, labels, image: bad[i]! })));
  const pairs = setOf(scenes.map(({ id, labels, image }, i) => ({ id, labels, image, degraded: bad[i]! })));
  for (const [dataset, settings, asTheyAre] of [
    [alone, undefined, 2],
    [pairs, undefined, 0],
    [pairs, RASS_DEGRADATION, 0],
  ] as const) {
    const { segmenter, seen } = watcher();
    const evaluation = await evaluate({ dataset, segmenter, input: 'degraded', settings });
    expect(evaluation.asTheyAre).toBe(asTheyAre);
    expect(seen).toEqual(bad);
  }
  const { segmenter, seen } = watcher();
  await evaluate({ dataset: alone, segmenter, input: 'degraded', settings: RASS_DEGRADATION });
  expect(seen).toEqual(bad.map((image, seed) => degrade(image, RASS_DEGRADATION, { seed }).image));
});

it('scores what is restored against good photographs alone', async () => {
  const restorer = { restore: async (image: RgbImage) => image } as unknown as Pipeline;
  const alone = setOf(scenes);
  const options = { dataset: alone, restorer, input: 'restored', settings: undefined } as const;
  const { segmenter } = watcher();
  expect(await evaluate({ ...options, segmenter })).not.toHaveProperty('restoration');
  await expect(evaluate(options)).rejects.toThrow(
    'eval: restoration is scored against good photographs; got none beside scene 1; give a set with clean/ beside images/, or --degradation',
  );
});
