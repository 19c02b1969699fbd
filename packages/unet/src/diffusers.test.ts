import { disposeParams } from '@rass/nn';
import { describeOnBackends, loadGolden } from '@rass/testkit';
import { dispose, memory } from '@tensorflow/tfjs-core';
import { expect, it, vi } from 'vitest';
import {
  expectForward,
  expectGradients,
  expectWeightGradients,
  goldenInputs,
  goldenUnet,
  lossGradients,
} from './golden.test-support.ts';

// On a busy machine a software adapter takes a minute or two for a backward pass.
vi.setConfig({ testTimeout: 300_000 });

const styles = ['sd1', 'sd2'];
const sizes = ['8x8', '4x8', '7x5'];
const variants =
  'class-table class-timestep class-projection class-simple-projection class-identity time shapes depths';

describeOnBackends("against diffusers' UNet2DConditionModel", (backend) => {
  for (const style of styles) {
    it.each(sizes)(`${style} style, %s latents: output, taps, attention, gradients`, async (size) => {
      const weights = loadGolden(`unet/${style}`);
      const golden = loadGolden(`unet/${style}-${size}`);
      const p = goldenUnet(weights, weights.config);
      const inputs = goldenInputs(golden);
      await expectForward(golden, p, inputs);
      const found = lossGradients(golden, p, inputs);
      await expectGradients(golden, p, found);
      if (size === '7x5') await expectWeightGradients(loadGolden(`unet/${style}-7x5-gradients`), p, found);
      dispose(found);
      disposeParams(p);
    });
  }

  const ways = backend === 'webgpu' ? [true] : [false, true];
  it.each(ways)('with a text mask and odd latents, checkpointing %s: gradients, no leak', async (checkpointing) => {
    const golden = loadGolden('unet/variant-text-mask');
    const p = goldenUnet(golden, golden.config.unet);
    const inputs = { ...goldenInputs(golden), checkpointing };
    await expectForward(golden, p, inputs);
    const before = memory().numTensors;
    const found = lossGradients(golden, p, inputs);
    expect(memory().numTensors - before).toBe(Object.keys(found).length);
    await expectGradients(golden, p, found);
    dispose(found);
    disposeParams(p);
  });
});

describeOnBackends(
  'the rest of the configuration, against diffusers',
  () => {
    it.each([...variants.split(' '), 'no-middle'])('%s: output, taps, attention, gradients', async (name) => {
      const golden = loadGolden(`unet/variant-${name}`);
      const p = goldenUnet(golden, golden.config.unet);
      const inputs = goldenInputs(golden);
      await expectForward(golden, p, inputs);
      const found = lossGradients(golden, p, inputs);
      await expectGradients(golden, p, found);
      dispose(found);
      disposeParams(p);
    });
  },
  // The operations are those of the styles above, which WebGPU runs.
  ['native', 'wasm', 'cpu'],
);
