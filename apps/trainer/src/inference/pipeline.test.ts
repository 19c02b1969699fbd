import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RgbImage } from '@rass/images';
import { drawScene } from '@rass/scenes';
import { memory } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { trainSmallModel } from '../training/run-small.test-support.ts';
import { padEdges } from './pad.ts';
import { openPipeline, type Pipeline } from './pipeline.ts';

const TIME = 300_000;
let folder: string;
let model: string;
let before: number;
let pipeline: Pipeline;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rass-pipeline-'));
  model = await trainSmallModel(folder);
  before = memory().numTensors;
  pipeline = await openPipeline(model, { restore: true, segment: true });
}, TIME);
afterAll(() => {
  pipeline.dispose();
  expect(memory().numTensors).toBe(before);
  rmSync(folder, { recursive: true, force: true });
});

const photograph = (width: number, height: number): RgbImage => drawScene({ seed: 3, width, height }).image;

const distance = (a: RgbImage, b: RgbImage): number =>
  a.data.reduce((sum, value, i) => sum + Math.abs(value - b.data[i]!), 0) / a.data.length;

/** As many tensors as before, but for prompts that are kept. */
async function steady<T>(run: () => Promise<T>): Promise<T> {
  await run();
  const tensors = memory().numTensors;
  const result = await run();
  expect(memory().numTensors).toBe(tensors);
  return result;
}

it('restores photographs of any size', async () => {
  for (const [width, height] of [
    [70, 41],
    [16, 130],
  ] as const) {
    const restored = await steady(() => pipeline.restore(photograph(width, height), { tags: ['sky', 'tree'] }));
    expect([restored.width, restored.height, restored.data.length]).toEqual([width, height, 3 * width * height]);
  }
  const large = await pipeline.restore(photograph(40, 30), { upscale: 2 });
  expect([large.width, large.height]).toEqual([80, 60]);
});

it('restores by tiles nearly as at once, and repeats itself', async () => {
  const image = photograph(128, 96);
  const whole = await pipeline.restore(image);
  expect(await pipeline.restore(image)).toEqual(whole);
  const tiled = await pipeline.restore(image, { tiling: { size: 16, overlap: 8 } });
  expect(tiled.data).not.toEqual(whole.data);
  // Norms and attention see a tile alone.
  expect(distance(tiled, whole)).toBeLessThan(distance(image, whole) / 2);
});

it('reads the prompt, and takes the colours of the photograph where asked', async () => {
  const image = photograph(64, 64);
  const plain = await pipeline.restore(image);
  expect((await pipeline.restore(image, { tags: ['car'] })).data).not.toEqual(plain.data);
  const mean = ({ data }: RgbImage) => data.reduce((a, b) => a + b, 0) / data.length;
  const fixed = await pipeline.restore(image, { colourFix: 'adain' });
  expect(Math.abs(mean(fixed) - mean(image))).toBeLessThan(2);
});

it('labels each pixel with one of its classes', async () => {
  for (const [width, height] of [
    [97, 64],
    [33, 70],
  ] as const) {
    const labels = await steady(() => pipeline.segment(photograph(width, height), { shortSide: 64 }));
    expect([labels.width, labels.height, labels.data.length]).toEqual([width, height, width * height]);
    expect(labels.data.every((label) => label < pipeline.classes.length)).toBe(true);
  }
  const image = photograph(64, 64);
  const flipped = await steady(() => pipeline.segment(image, { flip: true, scales: [1, 1.5] }));
  expect(flipped.data.length).toBe(64 * 64);
});

it('says what the model was not trained or opened for', async () => {
  const unet = join(folder, 'small-unet', 'model');
  await expect(openPipeline(unet, { restore: true, segment: false })).rejects.toThrow(
    `model: ${unet}: to restore it has an SCR LoRA; got none; train it by rass train scr`,
  );
  await expect(openPipeline(unet, { restore: false, segment: true })).rejects.toThrow(
    `model: ${unet}: to segment it has a head; got none; train it by rass train seg`,
  );
  const restoring = await openPipeline(model, { restore: true, segment: false });
  expect(restoring.classes).toEqual([]);
  await expect(restoring.segment(photograph(32, 32))).rejects.toThrow('segment: the model was opened to segment');
  restoring.dispose();
});

it('repeats the last row and column to fill up', () => {
  const image = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
  const row = [1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6];
  expect(padEdges(image, 4)).toEqual({ width: 4, height: 4, data: Uint8Array.from([row, row, row, row].flat()) });
  expect(padEdges(image, 1)).toBe(image);
});
