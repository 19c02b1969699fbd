import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Stages } from '@rass/pipeline';
import { activateBackend } from '@rass/testkit';
import { type Checkpoint, readFloat32 } from '@rass/weights';
import { openCheckpoint, saveSafetensors } from '@rass/weights/node';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { STAGES, smallModelFiles } from '../../../../packages/pipeline/src/small-model.test-support.ts';
import { exportModel } from './export-model.ts';
import { exportedStages } from './exported-stages.ts';

const UNET = 'unet/diffusion_pytorch_model.safetensors';
let files: Map<string, Blob>;
let folder: string;
const path = (...steps: string[]): string => join(folder, ...steps);
beforeAll(async () => {
  await activateBackend('cpu');
  files = await smallModelFiles();
});
beforeEach(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true });
  folder = await mkdtemp(join(tmpdir(), 'rass-export-'));
  for (const [name, blob] of files) {
    await mkdir(dirname(path('model', name)), { recursive: true });
    await writeFile(path('model', name), new Uint8Array(await blob.arrayBuffer()));
  }
});
afterAll(() => rm(folder, { recursive: true }));

const exported = (out = 'out') => exportModel(path('model'), path(out), { precision: 'F32', name: 'small' });

async function using<T>(file: string, use: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  const checkpoint = await openCheckpoint(file);
  try {
    return await use(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

const valuesOf = (file: string, key: string): Promise<Float32Array> =>
  using(file, (checkpoint) => readFloat32(checkpoint, key));

/** Writes a stage's file anew, with what `change` makes of its tensors. */
async function changeStage(
  change: (
    tensors: Map<string, { readonly shape: readonly number[]; readonly data: Float32Array<ArrayBuffer> }>,
  ) => void,
): Promise<void> {
  const file = path('model', 'scr.safetensors');
  const tensors = await using(file, async (checkpoint) => {
    const all = checkpoint.keys().map(async (key) => {
      const data = await readFloat32(checkpoint, key);
      return [key, { shape: [...checkpoint.info(key).shape], data: Float32Array.from(data) }] as const;
    });
    return new Map(await Promise.all(all));
  });
  change(tensors);
  await saveSafetensors(
    file,
    Object.fromEntries([...tensors].map(([key, each]) => [key, { dtype: 'F32' as const, ...each }])),
  );
}

describe('a merged export', () => {
  it('adds the scaled product of the factors to the weight', async () => {
    await exported();
    const layer = 'down_blocks.0.resnets.0.conv1';
    const [before, after] = [path('model', UNET), path('out', UNET)];
    const stage = path('model', 'scr.safetensors');
    const [base, merged] = [await valuesOf(before, `${layer}.weight`), await valuesOf(after, `${layer}.weight`)];
    const [a, b] = [
      await valuesOf(stage, `${layer}.lora_A.default_encoder.weight`),
      await valuesOf(stage, `${layer}.lora_B.default_encoder.weight`),
    ];
    // Rank 2, alpha 4: [8, 2] x [2, 72].
    for (const [o, i] of [
      [0, 0],
      [3, 17],
      [7, 71],
    ] as const) {
      const product = 2 * (b[2 * o]! * a[i]! + b[2 * o + 1]! * a[72 + i]!);
      expect(merged[72 * o + i]).toBeCloseTo(base[72 * o + i]! + product, 5);
    }
    expect(await valuesOf(after, 'time_embedding.linear_1.weight')).toEqual(
      await valuesOf(before, 'time_embedding.linear_1.weight'),
    );
  });

  it('says on its card how it is used: a model that only segments restores nothing', async () => {
    const options = { precision: 'F32', name: 'small' } as const;
    for (const [out, tasks, flags] of [
      ['both', ['restore', 'segment'], ''],
      ['alone', ['segment'], ' --no-restored'],
    ] as const) {
      await exportModel(path('model'), path(out), { ...options, tasks });
      const card = await readFile(path(out, 'README.md'), 'utf8');
      expect(card.split('\n')).toContain(`rass segment photos/ --model small --out results${flags}`);
    }
  });

  it('takes weights of PyTorch too, and writes them as safetensors', async () => {
    await exported();
    await rename(path('model', UNET), path('model', 'unet/diffusion_pytorch_model.bin'));
    await rename(path('model', 'text_encoder/model.safetensors'), path('model', 'text_encoder/pytorch_model.bin'));
    const { files: written } = await exported('again');
    expect(written.map((file) => file.path)).toEqual(expect.arrayContaining([UNET, 'text_encoder/model.safetensors']));
    expect(await readFile(path('again', UNET))).toEqual(await readFile(path('out', UNET)));
  });

  it.each<[string, () => Promise<void>, string]>([
    [
      'without a UNet',
      () => rm(path('model', UNET)),
      'has the weights of its UNet, which adapters are merged into; got none',
    ],
    [
      'with adapters of another rank than is said',
      () =>
        writeFile(
          path('model', 'rass.json'),
          JSON.stringify({ ...STAGES, restoration: { ...STAGES.restoration, rank: 1 } }),
        ),
      'it has the adapters that rass.json says, of this UNet; got "conv_in.lora_A.default_encoder.weight" [2, 4, 3, 3] for [1, 4, 3, 3]; train it again',
    ],
    [
      'with half of a pair',
      () => changeStage((tensors) => tensors.delete('conv_out.lora_A.default_decoder.weight')),
      'got no "conv_out.lora_A.default_decoder.weight"',
    ],
    [
      'without the first convolution',
      () => changeStage((tensors) => tensors.delete('conv_in.bias')),
      'got no "conv_in.bias"',
    ],
    [
      'with an adapter of no layer',
      () => changeStage((tensors) => tensors.set('mid.lora_A.x.weight', { shape: [1, 1], data: new Float32Array(1) })),
      'got "mid.lora_A.x.weight"',
    ],
  ])('is not made of a model %s', async (_, change, message) => {
    await change();
    await expect(exported()).rejects.toThrow(message);
    await expect(readFile(path('out', 'rass.json'))).rejects.toThrow('ENOENT');
  });
});

describe('what is merged', () => {
  const { restoration, segmentation } = STAGES as Required<Stages>;
  const namesOf = (stages: Stages, choice = {}) => {
    const { merged, stages: written, unmerged } = exportedStages(stages, choice);
    return [merged.map(({ file }) => file), Object.keys(written).slice(1), unmerged];
  };

  it('is restoration, and segmentation where it is alone', () => {
    expect(namesOf(STAGES)).toEqual([['scr.safetensors'], ['restoration', 'segmentation'], undefined]);
    expect(namesOf(STAGES, { tasks: ['segment'] })).toEqual([['scr.safetensors', 'seg.safetensors'], ['segmentation'], undefined]); // biome-ignore format: one line
    expect(namesOf(STAGES, { tasks: ['restore'] })).toEqual([['scr.safetensors'], ['restoration'], undefined]);
    expect(namesOf(STAGES, { merge: false })).toEqual([[], ['restoration', 'segmentation'], undefined]);
    expect(namesOf({ format: 1 })).toEqual([[], [], undefined]);
    const alone = exportedStages(STAGES, { tasks: ['segment'] }).stages;
    // It was trained so, whatever is merged now.
    expect(alone.segmentation).toEqual({ ...segmentation, rank: undefined, alpha: undefined });
    expect(namesOf(alone)).toEqual([[], ['segmentation'], undefined]);
  });

  it('is nothing where both stages go on from the same UNet', () => {
    const apart: Stages = { ...STAGES, segmentation: { ...segmentation, mergesRestoration: false } };
    expect(namesOf(apart)).toEqual([[], ['restoration', 'segmentation'], expect.stringContaining('their adapters stay beside it')]); // biome-ignore format: one line
    expect(namesOf(apart, { tasks: ['segment'] })).toEqual([['seg.safetensors'], ['segmentation'], undefined]);
  });

  it('is nothing of what was merged before', () => {
    const { latentUpdate, timestep } = restoration;
    const merged: Stages = { format: 1, restoration: { latentUpdate, timestep }, segmentation };
    expect(namesOf(merged)).toEqual([[], ['restoration', 'segmentation'], undefined]);
    expect(namesOf(merged, { tasks: ['segment'] })).toEqual([['seg.safetensors'], ['segmentation'], undefined]);
    expect(namesOf(merged, { tasks: ['segment'], merge: false })).toEqual([[], ['segmentation'], undefined]);
  });
});
