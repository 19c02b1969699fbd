import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { disposeParams, ParamSource, randomParams, trainable, trainableTensors } from '@rass/nn';
import { activateBackend, describeOnBackends, expectClose, expectNoLeaks, loadGolden, peakBytes } from '@rass/testkit';
import { loadParams, openCheckpoint, selectPrefix } from '@rass/weights';
import {
  dispose,
  memory,
  ones,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor3D,
  type Tensor4D,
  tensor,
  tensor1d,
  tensor2d,
  tensor4d,
  tidy,
  variableGrads,
  zeros,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { parseUnetConfig } from './config.ts';
import { expectForward, goldenInputs } from './golden.test-support.ts';
import { type Unet, type UnetInputs, unet, unetParams } from './unet.ts';

const tiny = parseUnetConfig({
  block_out_channels: [8, 8],
  down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
  layers_per_block: 1,
  norm_num_groups: 2,
  attention_head_dim: 2,
  cross_attention_dim: 6,
});
const latents = (batch: number, height = 4, width = 4): Tensor4D => {
  const count = batch * height * width * 4;
  return tensor4d(
    Float32Array.from({ length: count }, (_, i) => Math.sin(i)),
    [batch, height, width, 4],
  );
};
const text = (batch: number): Tensor3D =>
  tensor(
    Float32Array.from({ length: batch * 18 }, (_, i) => Math.cos(i)),
    [batch, 3, 6],
  );

/** Convolutions that hand their middle pixel through: the first half of their inputs plus the second where these are
 * twice as many, all of them where they are not. Norms are 1 and 0, everything else 0. */
function passThrough(): ParamSource {
  return new ParamSource(({ key, shape }) => {
    if (/norm.*weight/.test(key)) return ones([...shape]);
    if (!/(conv_in|conv_out|conv_shortcut|samplers.0.conv).weight/.test(key)) return zeros([...shape]);
    const [rows, columns, inputs, outputs] = shape;
    const weight = new Float32Array(rows * columns * inputs * outputs);
    const middle = Math.floor(rows / 2) * columns + Math.floor(columns / 2);
    for (let i = 0; i < inputs; i++) weight[(middle * inputs + i) * outputs + (i % outputs)] = 1;
    return tensor(weight, [...shape]);
  });
}

it("loads from a checkpoint with every key used, and gives diffusers' numbers", async () => {
  await activateBackend('cpu');
  const golden = loadGolden('unet/variant-class-table');
  const file = join(import.meta.dirname, '../../../test-fixtures/golden/unet/variant-class-table.safetensors');
  const checkpoint = selectPrefix(await openCheckpoint(readFileSync(file)), 'w/');
  const { params, report } = await loadParams(checkpoint, (from) =>
    unetParams(from, parseUnetConfig(golden.config.unet)),
  );
  expect(report.used.length).toBe(checkpoint.keys().length);
  await expectForward(golden, params, goldenInputs(golden));
  disposeParams(params);
  await checkpoint.close();
});

describeOnBackends('unet', (backend) => {
  it('is what one works out by hand', async () => {
    const config = parseUnetConfig({
      in_channels: 1,
      out_channels: 1,
      block_out_channels: [1, 1],
      down_block_types: ['DownBlock2D', 'DownBlock2D'],
      mid_block_type: null,
      up_block_types: ['UpBlock2D', 'UpBlock2D'],
      layers_per_block: 1,
      norm_num_groups: 1,
      attention_head_dim: 1,
    });
    const p = unetParams(passThrough(), config);
    // Down: the residual blocks add nothing, the downsampler takes every other pixel, here the 1. Up: the lower level
    // adds its two skips, 1 + 1 + 1 = 3, everywhere; the upper one adds twice the sample: 3 + 2 x.
    const sample = tensor4d([1, 2, 3, 6], [1, 2, 2, 1]);
    const result = unet(p, {
      sample_BHWC: sample,
      timestep: 7,
      text_BTD: zeros([1, 1, 1]),
      taps: ['up_blocks.0', 'up_blocks.1'],
    });
    await expectClose(result.taps['up_blocks.0'], tensor4d([3, 3, 3, 3], [1, 2, 2, 1]));
    await expectClose(result.taps['up_blocks.1'], tensor4d([5, 7, 9, 15], [1, 2, 2, 1]));
    // Then a normalisation by mean 9 and variance 14, and SiLU.
    const normal = [-4, -2, 0, 6].map((x) => x / Math.sqrt(14 + 1e-5));
    await expectClose(
      result.sample,
      normal.map((x) => x / (1 + Math.exp(-x))),
    );
  });

  it('leaves behind what was asked for and nothing else, each a tensor of its own', async () => {
    const p = unetParams(randomParams(1), tiny);
    const inputs = {
      sample_BHWC: latents(1, 3, 5),
      timestep: 1,
      text_BTD: text(1),
      textMask_BT: tensor2d([[1, 1, 0]]),
    };
    const before = memory().numTensors;
    const result = unet(p, {
      ...inputs,
      // The block ends with its attention: two names of one feature map.
      taps: ['up_blocks.1', 'up_blocks.1.attentions.1', 'conv_in'],
      attention: ['mid_block.attentions.0.transformer_blocks.0.attn1'],
    });
    expect(memory().numTensors - before).toBe(5);
    result.taps['up_blocks.1'].dispose();
    expect(result.taps['up_blocks.1.attentions.1'].isDisposed).toBe(false);
    const [probabilities] = Object.values(result.attention);
    await expectClose(sum(probabilities, -1), ones([1, 2, 6]), { label: 'rows sum to 1' });
    dispose(result);
    await expectNoLeaks(() => dispose(unet(p, inputs)));
    disposeParams(p);
  });

  it('says what is wrong', () => {
    const p = unetParams(randomParams(1), tiny);
    const classes = unetParams(randomParams(1), { ...tiny, classes: { kind: 'table', classes: 3 } });
    const vectors = unetParams(randomParams(1), { ...tiny, classes: { kind: 'projection', width: 6 } });
    const good: UnetInputs = { sample_BHWC: latents(2), timestep: 1, text_BTD: text(2) };
    const floats = tensor1d([0.5, 1]);
    const cases: [Unet, Partial<UnetInputs>, string][] = [
      [
        p,
        { taps: ['up_block.1'] },
        'unet: taps are named as in the checkpoint; got "up_block.1"; closest: up_blocks.1, up_blocks.0; tapNames(config) lists all',
      ],
      [
        p,
        { attention: ['mid_block.attentions.0.transformer_blocks.0.attn3'] },
        'closest: mid_block.attentions.0.transformer_blocks.0.attn1, mid_block.attentions.0.transformer_blocks.0.attn2; attentionNames(config, { self: true }) lists all',
      ],
      [
        p,
        { sample_BHWC: zeros([1, 4, 8, 8]) },
        'unet: the sample is [B, H, W, 4]; got [1,4,8,8]; images are channels-last here',
      ],
      [p, { text_BTD: text(1) }, 'unet: one text for each sample; got 1 texts and 2 samples; tile the shorter one'],
      [
        p,
        { text_BTD: zeros([2, 3, 5]) },
        'down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k: linear: the last axis of x',
      ],
      [p, { textMask_BT: zeros([2, 4]) }, 'unet: the text mask is [2, 3] like the text; got [2,4]; mask each token'],
      [
        p,
        { timestep: [1, 2, 3] },
        'unet: timestep is a finite number, or one for each sample; got [1,2,3] for 2 samples; give 2',
      ],
      [p, { timestep: Number.NaN }, 'unet: timestep is a finite number, or one for each sample; got [NaN,NaN]'],
      [
        p,
        { timestep: floats as Tensor1D },
        'unet: a tensor timestep is int32 [B]; got float32 [2] for 2 samples; give numbers for fractions',
      ],
      ...[-1, 1000].map((step): [Unet, Partial<UnetInputs>, string] => [
        p,
        { timestep: tensor1d([1, step], 'int32') },
        // wasm has the values in its own memory alone, and refuses them itself.
        backend === 'wasm'
          ? `the index value ${step} is not in [0, 999]`
          : `unet: a tensor timestep is from 0 to 999; got ${step}; give numbers for other steps`,
      ]),
      [p, { classLabels: 1 }, 'unet: this model has no class embedding; got classLabels; leave them out'],
      [classes, {}, 'unet: this model has a class embedding; got no classLabels; give one for each sample'],
      [
        classes,
        { classLabels: [1] },
        'unet: classLabels are whole numbers from 0 up, one for all samples or one for each; got [1] for 2 samples',
      ],
      [
        vectors,
        { classLabels: 1 },
        'unet: classLabels of this model are vectors [B, I]; got 1 for 2 samples; give a rank-2 tensor',
      ],
    ];
    for (const [model, change, message] of cases) expect(() => unet(model, { ...good, ...change })).toThrow(message);
    for (const model of [p, classes, vectors]) disposeParams(model);
  });
});

describeOnBackends(
  'unet, at length',
  () => {
    it('takes a timestep as one number, a list, or an int32 tensor, and tells samples apart', async () => {
      const p = unetParams(randomParams(1), tiny);
      const run = (timestep: UnetInputs['timestep']): Tensor4D =>
        tidy(() => unet(p, { sample_BHWC: latents(2), timestep, text_BTD: text(2) }).sample);
      const both = run([3, 731]);
      await expectClose(run(tensor1d([3, 731], 'int32')), both, { relative: 1e-6 });
      await expectClose(run([3, 3]), run(3), { relative: 0 });
      const [a, b] = [await both.data(), await run(3).data()];
      await expectClose(a.slice(0, 64), b.slice(0, 64), { relative: 1e-5 });
      expect(Array.from(a.slice(64))).not.toEqual(Array.from(b.slice(64)));
      disposeParams(p);
    });

    it('trains chosen weights; checkpointing keeps a third of the bytes for the backward pass', async () => {
      // Many residual blocks: on so few pixels the attentions, computed again one by one, would be all that one sees.
      const block = { channels: 8, resnets: 6 };
      const config = { ...tiny, downBlocks: [block], midBlock: undefined, upBlocks: [{ ...block, resnets: 7 }] };
      const base = unetParams(randomParams(1), config);
      const p = trainable(base, (key) => /conv|time_emb_proj/.test(key));
      const inputs = { sample_BHWC: latents(1, 16, 16), timestep: 1, text_BTD: text(1) };
      let kept = 0;
      const step = (checkpointing: boolean): Record<string, Tensor> => {
        const before = memory().numBytes;
        const { value, grads } = variableGrads(() => {
          const { sample } = unet(p, { ...inputs, checkpointing });
          kept = memory().numBytes - before;
          return sum(sample);
        });
        value.dispose();
        return grads;
      };
      const [plain, keptByPlain] = [step(false), kept];
      const [again, keptByAgain] = [step(true), kept];
      expect(keptByAgain).toBeLessThan(keptByPlain / 3);
      const [peak, lowerPeak] = [false, true].map((checkpointing) => peakBytes(() => dispose(step(checkpointing))));
      expect(lowerPeak).toBeLessThan(peak);
      const names = Object.values(trainableTensors(p)).map(({ name }) => name);
      expect(Object.keys(plain).sort()).toEqual(names.sort());
      for (const name of names) await expectClose(again[name], plain[name], { relative: 1e-5, label: name });
      dispose([plain, again]);
      disposeParams(p);
      disposeParams(base);
    });
  },
  // The operations are those that the other tests run on WebGPU, whose software adapter would take minutes.
  ['native', 'wasm', 'cpu'],
);
