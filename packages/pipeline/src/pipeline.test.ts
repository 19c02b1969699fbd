import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { RgbImage } from '@rass/images';
import { drawScene } from '@rass/scenes';
import { activateBackend, describeOnBackends } from '@rass/testkit';
import { blobFolder } from '@rass/weights';
import { memory } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { padEdges } from './images/pad.ts';
import { openPipeline as openPath, readStages } from './node.ts';
import { openPipeline, type Pipeline } from './pipeline.ts';
import { STAGES, smallModelFiles } from './small-model.test-support.ts';
import type { RestoreProgress } from './tasks/restore.ts';

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

const json = (value: unknown): Blob => new Blob([JSON.stringify(value)]);

describeOnBackends('a pipeline', () => {
  let before: number;
  let pipeline: Pipeline;
  beforeAll(async () => {
    const folder = blobFolder(await smallModelFiles(), 'small');
    before = memory().numTensors;
    pipeline = await openPipeline(folder, { restore: true, segment: true });
  });
  afterAll(() => {
    pipeline.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it.each([
    [{ colourFix: 'bogus' }, 'restore: colourFix is one of none, adain, wavelet; got "bogus"'],
    [{ tags: 'sky' }, 'restore: tags is a list, each a text; got "sky"'],
    [{ upscale: Number.NaN }, 'restore: upscale is a finite number above 0; got NaN'],
    [{ colorFix: 'adain' }, 'restore: options have known names; got "colorFix"; there are tags, colourFix'],
  ])('restores with %j not at all', async (options, message) => {
    await expect(pipeline.restore(photograph(32, 32), options as object)).rejects.toThrow(message);
  });

  it.each([
    [{ shortSide: 0.5 }, 'segment: shortSide is a whole number from 1 on; got 0.5'],
    [{ scales: [1, Number.NaN] }, 'segment: scales is a list, each a finite number above 0; got [1,NaN]'],
    [{ upscale: 2 }, 'segment: options have known names; got "upscale"'],
  ])('segments with %j not at all', async (options, message) => {
    await expect(pipeline.segment(photograph(32, 32), options as object)).rejects.toThrow(message);
  });

  it('tells how much of it is loaded, and stops loading when it is told to, with nothing left', async () => {
    const folder = blobFolder(await smallModelFiles(), 'small');
    const tensors = memory().numTensors;
    const both = { restore: true, segment: true };
    const seen: number[] = [];
    (await openPipeline(folder, { ...both, onProgress: (done) => seen.push(done) })).dispose();
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect([seen.length > 100, seen.at(-1)]).toEqual([true, 1]);
    for (const share of [0, 0.2, 0.5, 0.8]) {
      const controller = new AbortController();
      const onProgress = (done: number) => done > share && controller.abort(new Error('enough'));
      const opening = openPipeline(folder, { ...both, onProgress, signal: controller.signal });
      await expect(opening).rejects.toThrow('enough');
      expect(memory().numTensors).toBe(tensors);
    }
  });

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

  it('sees what is transparent on white, whatever colours are hidden there, and keeps the alpha', async () => {
    const image = photograph(70, 40);
    const alpha = new Uint8Array(70 * 40).map((_, i) => (i % 70 < 30 ? 0 : 255));
    const hidden = {
      ...image,
      data: image.data.map((value, i) => (alpha[Math.floor(i / 3)] === 0 ? 90 : value)),
      alpha,
    };
    const onWhite = { ...image, data: image.data.map((value, i) => (alpha[Math.floor(i / 3)] === 0 ? 255 : value)) };
    const [restored, opaque] = [await pipeline.restore(hidden), await pipeline.restore(onWhite)];
    expect(restored.alpha).toEqual(alpha);
    expect(opaque.alpha).toBeUndefined();
    // Where nothing shows it is white; elsewhere it is what the opaque one is.
    expect(restored.data).toEqual(opaque.data.map((value, i) => (alpha[Math.floor(i / 3)] === 0 ? 255 : value)));
    expect(await pipeline.segment(hidden)).toEqual(await pipeline.segment(onWhite));
    expect((await pipeline.restore(hidden, { upscale: 2 })).alpha?.length).toBe(4 * alpha.length);
  });

  it('restores by tiles where asked, and repeats itself', async () => {
    const image = photograph(128, 64);
    const whole = await pipeline.restore(image);
    expect(await pipeline.restore(image)).toEqual(whole);
    // Latents have a quarter of the side.
    expect(await pipeline.restore(image, { tiling: { size: 32, overlap: 8 } })).toEqual(whole);
    const tiled = await steady(() => pipeline.restore(image, { tiling: { size: 16, overlap: 8 } }));
    expect(tiled.data.length).toBe(whole.data.length);
    // Norms and attention see a tile alone.
    expect(distance(tiled, whole)).toBeGreaterThan(1);
  });

  it('tells how far it has come, and stops when it is told to, with nothing left', async () => {
    const image = photograph(128, 64);
    const tiling = { size: 16, overlap: 8 };
    const seen: RestoreProgress[] = [];
    await pipeline.restore(image, { tiling, onProgress: (progress) => seen.push(progress) });
    const stages = seen.map(({ stage }) => stage);
    expect([...new Set(stages)]).toEqual(['encode', 'restore', 'decode']);
    expect(seen.filter(({ stage }) => stage === 'restore').map(({ done }) => done)).toEqual([1 / 3, 2 / 3, 1]);
    for (const stage of ['encode', 'decode']) {
      const done = seen.filter((each) => each.stage === stage).map((each) => each.done);
      expect(done).toEqual(done.toSorted((a, b) => a - b));
      expect(done.at(-1)).toBeCloseTo(1, 3);
    }
    for (const stage of ['encode', 'restore', 'decode']) {
      const tensors = memory().numTensors;
      const controller = new AbortController();
      const count = { encode: 0, restore: 0, decode: 0 };
      const onProgress = (progress: RestoreProgress) => {
        count[progress.stage] += 1;
        if (progress.stage === stage) controller.abort(new Error(`enough of ${stage}`));
      };
      const options = { tiling, onProgress, signal: controller.signal };
      await expect(pipeline.restore(image, options)).rejects.toThrow(`enough of ${stage}`);
      expect(count[stage as 'encode']).toBe(1);
      expect(memory().numTensors).toBe(tensors);
    }
  });

  it('reads the prompt, and takes the colours of the photograph where asked', async () => {
    const image = photograph(64, 64);
    const plain = await pipeline.restore(image);
    expect((await pipeline.restore(image, { tags: ['car'] })).data).not.toEqual(plain.data);
    const mean = ({ data }: RgbImage) => data.reduce((a, b) => a + b, 0) / data.length;
    const fixed = await pipeline.restore(image, { colourFix: 'adain' });
    expect(Math.abs(mean(fixed) - mean(image))).toBeLessThan(2);
  });

  it('stops segmenting when it is told to, with nothing left', async () => {
    const image = photograph(192, 64);
    const done: number[] = [];
    await pipeline.segment(image, { onProgress: (progress) => done.push(progress.done) });
    expect(done).toEqual([1 / 4, 1 / 2, 3 / 4, 1]);
    const tensors = memory().numTensors;
    const controller = new AbortController();
    const segmenting = pipeline.segment(image, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(segmenting).rejects.toThrow('enough');
    expect(memory().numTensors).toBe(tensors);
  });

  it('says where it looks for each tag', async () => {
    const image = photograph(100, 64);
    const found = await steady(() => pipeline.attend(image, { tags: ['sky', 'tree', 'car'] }));
    expect(found.map(({ tag }) => tag)).toEqual(['sky', 'tree', 'car']);
    // Latents and the largest maps have a quarter of the side.
    for (const { width, height, values } of found) expect([width, height, values.length]).toEqual([25, 16, 400]);
    for (let cell = 0; cell < 400; cell++) {
      expect(found.reduce((sum, { values }) => sum + values[cell]!, 0)).toBeCloseTo(1, 4);
    }
    await expect(pipeline.attend(image, { tags: [] })).rejects.toThrow('attend: attention is to a tag; got none');
  });

  it('labels each pixel with one of its classes', async () => {
    for (const [width, height] of [
      [97, 64],
      [33, 70],
    ] as const) {
      const labels = await steady(() => pipeline.segment(photograph(width, height)));
      expect([labels.width, labels.height, labels.data.length]).toEqual([width, height, width * height]);
      expect(labels.data.every((label) => label < pipeline.classes.length)).toBe(true);
    }
    const image = photograph(64, 64);
    const flipped = await steady(() => pipeline.segment(image, { flip: true, scales: [1, 1.5] }));
    expect(flipped.data.length).toBe(64 * 64);
  });

  it('bounds the longer side of what is long and thin, and says so', async () => {
    const strip = (width: number, height: number): RgbImage => ({ width, height, data: new Uint8Array(3 * width * height).fill(90) }); // biome-ignore format: one line
    for (const [image, seen] of [
      [strip(900, 2), '256 x 1'],
      [strip(1, 20_000), '1 x 256'],
      [strip(900, 180), '256 x 51'],
    ] as const) {
      const notes: string[] = [];
      let pieces = 0;
      const options = { onNote: (note: string) => notes.push(note), onProgress: () => pieces++ };
      const labels = await pipeline.segment(image, options);
      expect([labels.width, labels.height]).toEqual([image.width, image.height]);
      expect(notes).toEqual([
        `it is seen at ${seen} pixels: the longer side is at most 256, so that the shorter one is less than 64`,
      ]);
      // Windows of 32 pixels at the least, and the view.
      expect(pieces).toBeLessThanOrEqual(256 / 32 + 1);
    }
    const onNote = (note: string): never => expect.fail(note);
    await pipeline.segment(strip(600, 150), { onNote });
    await pipeline.segment(strip(900, 180), { onNote, longSide: 320 });
  });
}, ['native', 'wasm']);

describe('openPipeline', () => {
  let files: Map<string, Blob>;
  beforeAll(async () => {
    await activateBackend('cpu');
    files = await smallModelFiles();
  });
  /** The model with other files; those that are undefined are not there. */
  const changed = (changes: Record<string, Blob | undefined>) => {
    const all = [...Object.entries({ ...Object.fromEntries(files), ...changes })];
    return blobFolder(new Map(all.filter((entry): entry is [string, Blob] => entry[1] !== undefined)), 'small');
  };

  it('says what the model was not trained or opened for, and frees what it had loaded', async () => {
    const before = memory().numTensors;
    const none = changed({ 'rass.json': undefined });
    await expect(openPipeline(none, { restore: true, segment: false })).rejects.toThrow(
      'model: small: to restore it has an SCR LoRA; got none; train it by rass train scr',
    );
    await expect(openPipeline(none, { restore: false, segment: true })).rejects.toThrow(
      'model: small: to segment it has a head; got none; train it by rass train seg',
    );
    const half = changed({ 'seg.safetensors': undefined });
    await expect(openPipeline(half, { restore: true, segment: true })).rejects.toThrow(
      'model: small: it has seg.safetensors, which its rass.json names; got none; copy it there, too',
    );
    expect(memory().numTensors).toBe(before);
    const restoring = await openPipeline(half, { restore: true, segment: false });
    expect(restoring.classes).toEqual([]);
    await expect(restoring.segment(photograph(32, 32))).rejects.toThrow('segment: the model was opened to segment');
    restoring.dispose();
    expect(memory().numTensors).toBe(before);
  });

  it('refuses a rass.json of another form, with the place', async () => {
    const bad = changed({ 'rass.json': json({ ...STAGES, restoration: { ...STAGES.restoration, rank: 0 } }) });
    await expect(openPipeline(bad, { restore: true, segment: false })).rejects.toThrow(
      /^model: small\/rass\.json: restoration\.rank: .*; got 0; export the model anew$/,
    );
  });

  it('opens a folder on disk', async () => {
    const root = await mkdtemp(join(tmpdir(), 'rass-pipeline-'));
    try {
      for (const [path, blob] of files) {
        await mkdir(join(root, dirname(path)), { recursive: true });
        await writeFile(join(root, path), new Uint8Array(await blob.arrayBuffer()));
      }
      expect(await readStages(root)).toEqual(STAGES);
      const pipeline = await openPath(root, { restore: false, segment: true });
      expect(pipeline.classes.length).toBe(STAGES.segmentation!.classes.length);
      pipeline.dispose();
    } finally {
      await rm(root, { recursive: true });
    }
  });
});

it('repeats the last row and column to fill up', () => {
  const image = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
  const row = [1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6];
  expect(padEdges(image, 4)).toEqual({ width: 4, height: 4, data: Uint8Array.from([row, row, row, row].flat()) });
  expect(padEdges(image, 1)).toBe(image);
});
