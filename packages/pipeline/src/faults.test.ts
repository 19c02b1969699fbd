import type { RgbImage } from '@rass/images';
import { drawScene } from '@rass/scenes';
import { activateBackend, describeOnBackends, expectNoLeaks, expectNoLeaksOnFaults } from '@rass/testkit';
import { type ByteFolder, blobFolder } from '@rass/weights';
import { memory } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPipeline, type Pipeline } from './pipeline.ts';
import { STAGES, smallModelFiles } from './small-model.test-support.ts';

const BOTH = { restore: true, segment: true };

// What is held and freed is the same on all backends.
describeOnBackends('a task in which a kernel fails or values cannot be read', () => {
  const image = drawScene({ seed: 3, width: 96, height: 64 }).image;
  let pipeline: Pipeline;
  beforeAll(async () => {
    pipeline = await openPipeline(blobFolder(await smallModelFiles()), BOTH);
  });
  afterAll(() => pipeline.dispose());

  it.each<[string, (image: RgbImage) => Promise<unknown>]>([
    ['restore', (bad) => pipeline.restore(bad, { tags: ['sky'], tiling: { size: 16, overlap: 8 } })],
    ['attend', (bad) => pipeline.attend(bad, { tags: ['sky', 'tree'] })],
    ['segment', (bad) => pipeline.segment(bad, { tags: ['sky'] })],
  ])('leaves nothing behind: %s', async (_, run) => {
    await expectNoLeaksOnFaults(() => run(image), { places: 40 });
  });

  it('leaves nothing behind of a tag that is refused', async () => {
    for (const tags of [[' '], ['sky', 'sky']]) {
      await expectNoLeaks(() => expect(pipeline.attend(image, { tags })).rejects.toThrow('each tag'));
    }
  });
}, ['native']);

describe('a model that cannot be used', () => {
  let files: Map<string, Blob>;
  beforeAll(async () => {
    await activateBackend('cpu');
    files = await smallModelFiles();
  });

  async function expectRefused(folder: ByteFolder, message: string | RegExp): Promise<void> {
    const before = memory().numTensors;
    await expect(openPipeline(folder, BOTH)).rejects.toThrow(message);
    expect(memory().numTensors).toBe(before);
  }

  const json = (value: unknown): Blob => new Blob([JSON.stringify(value)]);
  const { restoration, segmentation } = STAGES as Required<typeof STAGES>;
  const { head, fusion } = segmentation;
  const restoring = (changes: object) => ({ ...STAGES, restoration: { ...restoration, ...changes } });
  const segmenting = (changes: object) => ({ ...STAGES, segmentation: { ...segmentation, ...changes } });
  const taps = fusion.taps.filter(({ stride }) => stride !== 32);

  it.each<[string, object, string | RegExp]>([
    ['a configuration of the head', segmenting({ head: { ...head, num_attention_heads: 3 } }), 'num_attention_heads'],
    ['a head of another size', segmenting({ head: { ...head, num_queries: 5 } }), 'wrong shape ('],
    ['features without a level', segmenting({ fusion: { ...fusion, taps } }), /^featureFusion: .*; none has 32/],
    ['adapters of another rank', segmenting({ rank: 3 }), 'wrong shape ('],
    ['infinite adapters', segmenting({ alpha: 1e39 }), /^lora: merged weights are finite/],
    ['infinite restoring adapters', restoring({ alpha: 1e39 }), /^lora: merged weights are finite/],
    ['restoring adapters that are not there', restoring({ file: 'none.safetensors' }), 'it has none.safetensors'],
    ['restoring adapters of another stage', restoring({ file: 'seg.safetensors' }), 'unused ('],
  ])('leaves nothing behind: %s', async (_, stages, message) => {
    await expectRefused(blobFolder(new Map([...files, ['rass.json', json(stages)]])), message);
  });

  it.each<[string, object, string]>([
    ['scheduler/scheduler_config.json', { beta_schedule: 'none' }, 'beta_schedule'],
    ['vae/config.json', { norm_num_groups: 0 }, 'norm_num_groups'],
    ['text_encoder/config.json', { hidden_size: 0 }, 'hidden_size'],
  ])('leaves nothing behind: %s', async (file, config, message) => {
    await expectRefused(blobFolder(new Map([...files, [file, json(config)]])), message);
  });

  it.each(['unet/diffusion_pytorch_model.safetensors', 'scr.safetensors', 'seg.safetensors'])(
    'leaves nothing behind: %s, which cannot be closed',
    async (bad) => {
      const folder = blobFolder(files);
      const close = () => Promise.reject(new Error(`${bad} stays open`));
      const open: ByteFolder['open'] = async (path, signal) => {
        const source = await folder.open(path, signal);
        return source && path === bad ? { ...source, close } : source;
      };
      await expectRefused({ name: folder.name, open }, `${bad} stays open`);
    },
  );
});
