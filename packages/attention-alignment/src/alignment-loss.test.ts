import { gradients } from '@rass/kernels';
import { disposeParams, namedTensors, randomParams, trainable, trainableTensors } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, gradientCheck, randomValues } from '@rass/testkit';
import { attentionNames, parseUnetConfig, unet, unetParams } from '@rass/unet';
import {
  dispose,
  softmax,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tensor,
  tensor4d,
  tidy,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { ALIGNMENT_KINDS, type AlignmentInputs, alignmentLoss, type LabelMap } from './index.ts';

const UP = 'up_blocks.1.attentions.0.transformer_blocks.0.attn2';

/** Left half class 0, right half class 1, of 8 x 8 pixels, with `ignored` rows of no label at the bottom. */
function halves(ignored = 0): LabelMap {
  const labels = Array.from({ length: 64 }, (_, i) => (i >= 64 - 8 * ignored ? 255 : i % 8 < 4 ? 0 : 1));
  return { size: [8, 8], labels };
}

/** A map of 4 x 4 pixels over 4 tokens, one head: the start token has the rest of what the two tags leave. */
function maps(share: (pixel: number, tag: number) => number): Tensor4D {
  const values = new Float32Array(16 * 4);
  for (let p = 0; p < 16; p++) {
    for (const tag of [0, 1]) values[4 * p + 1 + tag] = share(p, tag);
    values[4 * p] = 1 - share(p, 0) - share(p, 1);
  }
  return tensor4d(values, [1, 1, 16, 4]);
}

const inputs = (map: Tensor4D, change: Partial<AlignmentInputs> = {}): AlignmentInputs => ({
  probabilities: { [UP]: map },
  latents: [4, 4],
  tags: [[{ tag: 'cat', positions: [1] }, { tag: 'dog', positions: [2] }]], // biome-ignore format: one sample
  classes: [[0, 1]],
  labels: [halves()],
  ...change,
});

const left = (pixel: number): boolean => pixel % 4 < 2;
const perfect = (scale: (pixel: number) => number) => (pixel: number, tag: number) =>
  left(pixel) === (tag === 0) ? scale(pixel) : 0;

async function values(given: AlignmentInputs): Promise<{ area: number; pixel: number; loss: number }> {
  const result = alignmentLoss(given);
  const [area, pixel, loss] = await Promise.all([result.area, result.pixel, result.loss].map((each) => each.data()));
  dispose(result);
  return { area: area[0], pixel: pixel[0], loss: loss[0] };
}

describeOnBackends('the default loss, by hand', (backend) => {
  it('is 0 for hard maps in their masks, however much the start token takes', async () => {
    for (const scale of [1, 0.5, 0.01]) {
      const { area, pixel } = await values(inputs(maps(perfect(() => scale))));
      expect(area).toBeLessThan(1e-6);
      // log(0.01 / (0.01 + 1e-6)) and so on.
      expect(Math.abs(pixel)).toBeLessThan(2e-4);
    }
  });

  it('does not change by a factor on all tags; one that varies over pixels changes the area alone', async () => {
    const soft = (pixel: number, tag: number) => (left(pixel) === (tag === 0) ? 0.6 : 0.2);
    const whole = await values(inputs(maps(soft)));
    const half = await values(inputs(maps((pixel, tag) => 0.5 * soft(pixel, tag))));
    expect(half.area).toBeCloseTo(whole.area, 5);
    expect(half.pixel).toBeCloseTo(whole.pixel, 5);
    const varying = await values(inputs(maps((pixel, tag) => (pixel < 4 && left(pixel) ? 0.1 : 1) * soft(pixel, tag))));
    expect(varying.pixel).toBeCloseTo(whole.pixel, 4);
    expect(Math.abs(varying.area - whole.area)).toBeGreaterThan(1e-3);
  });

  it('of uniform maps is the mean of (1 - f)^2, and the logarithm of how many tags there are', async () => {
    const { area, pixel, loss } = await values(inputs(maps(() => 0.3)));
    expect(area).toBeCloseTo(0.25, 5);
    expect(pixel).toBeCloseTo(Math.log(2), 5);
    expect(loss).toBeCloseTo(0.25 + 0.1 * Math.log(2), 5);
  });

  it('stays when two tags change places with their masks', async () => {
    const soft = (pixel: number, tag: number) => (left(pixel) === (tag === 0) ? 0.5 : 0.1 + 0.01 * pixel);
    const first = await values(inputs(maps(soft)));
    const swapped = await values(
      inputs(
        maps((pixel, tag) => soft(pixel, 1 - tag)),
        {
          tags: [[{ tag: 'dog', positions: [1] }, { tag: 'cat', positions: [2] }]], // biome-ignore format: one sample
          classes: [[1, 0]],
        },
      ),
    );
    expect(swapped.area).toBeCloseTo(first.area, 6);
    expect(swapped.pixel).toBeCloseTo(first.pixel, 6);
  });

  it('of nothing to see is exactly 0, with gradients of 0', async () => {
    for (const change of [{ labels: [halves(8)] }, { tags: [[]], classes: [[]] }]) {
      const map = maps(() => 0.3);
      const given = (p: Tensor4D) => inputs(p, change);
      expect(await values(given(map))).toEqual({ area: 0, pixel: 0, loss: 0 });
      const { map: slope } = gradients(
        ({ map: p }) => alignmentLoss(given(p as Tensor4D)).loss,
        { map },
        { unconnected: 'zeros' },
      );
      expect([...new Set(await slope.data())].map(Math.abs)).toEqual([0]);
    }
  });

  it('does not look where there is no label', async () => {
    const seen = (pixel: number, tag: number) => (left(pixel) === (tag === 0) ? 0.5 : 0.1);
    const wild = (pixel: number, tag: number) => (pixel >= 8 ? 0.45 - 0.3 * tag : seen(pixel, tag));
    const half = { labels: [halves(4)] };
    const [a, b] = [await values(inputs(maps(seen), half)), await values(inputs(maps(wild), half))];
    expect(b.area).toBeCloseTo(a.area, 6);
    expect(b.pixel).toBeCloseTo(a.pixel, 6);
  });

  it('can have the entropy of soft masks taken off', async () => {
    // Cells of 2 x 2 labels, half and half: the best that maps can do is a half each.
    const labels = { size: [8, 8] as const, labels: Array.from({ length: 64 }, (_, i) => i % 2) };
    const given = inputs(
      maps(() => 0.5),
      { labels: [labels] },
    );
    const plain = alignmentLoss(given);
    const floored = alignmentLoss(given, { minusEntropy: true });
    const binary = alignmentLoss(given, { kind: 'bce', minusEntropy: true });
    expect((await plain.pixel.data())[0]).toBeCloseTo(Math.log(2), 5);
    for (const { pixel } of [floored, binary]) expect(Math.abs((await pixel.data())[0])).toBeLessThan(1e-5);
    dispose([plain, floored, binary]);
  });

  it('has the gradient that differences say, and leaves nothing behind', async () => {
    const scores = tensor(randomValues(64, { seed: 3 }), [1, 1, 16, 4]);
    // A difference takes seconds on WebGPU in software; each kind's gradients are compared with PyTorch there too.
    for (const kind of backend === 'webgpu' ? (['area+ce'] as const) : ALIGNMENT_KINDS) {
      // Small weights would drown in the rounding of the differences.
      const options = { kind, weight: 1, areaWeight: 1, pixelWeight: 1 };
      await gradientCheck((x) => alignmentLoss(inputs(softmax(x) as Tensor4D), options).loss, [scores]);
    }
    const map = maps(() => 0.3);
    await expectNoLeaks(() => dispose(alignmentLoss(inputs(map))));
    dispose([scores, map]);
  });
});

describe('on a UNet', () => {
  const config = parseUnetConfig({
    block_out_channels: [8, 8],
    down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
    layers_per_block: 1,
    norm_num_groups: 2,
    attention_head_dim: [2, 2],
    cross_attention_dim: 6,
    use_linear_projection: true,
  });
  const names = attentionNames(config).map(({ name }) => name);

  describeOnBackends('gradients', () => {
    it("reach the queries and keys of the chosen layers and what is before them, never the last one's values and output; the same with checkpointing", async () => {
      const sample_BHWC = tensor(randomValues(64), [1, 4, 4, 4]) as Tensor4D;
      const text_BTD = tensor(randomValues(24), [1, 4, 6]) as Tensor3D;
      const base = unetParams(randomParams(1), config);
      const tree = trainable(base, (key) => !/conv_norm_out|conv_out/.test(key));
      const variables = trainableTensors(tree);
      const slopes = (checkpointing: boolean): Record<string, Tensor> =>
        tidy(() =>
          gradients(
            () => {
              const { attention } = unet(tree, { sample_BHWC, text_BTD, timestep: 1, attention: names, checkpointing });
              return alignmentLoss({ ...inputs(attention[names[0]]), probabilities: attention }).loss;
            },
            variables as Record<string, Tensor>,
            { unconnected: 'zeros' },
          ),
        );
      const [plain, again] = [slopes(false), slopes(true)];
      const size = async (slope: Tensor): Promise<number> => Math.max(...(await slope.data()).map(Math.abs));
      const last = names.at(-1) as string;
      for (const [key, slope] of Object.entries(plain)) {
        await expectClose(again[key], slope, { relative: 1e-4, label: key });
        const behind = key.startsWith(`${last}.to_v`) || key.startsWith(`${last}.to_out`);
        if (behind) expect(await size(slope), key).toBe(0);
        const before = names.some((name) => name.startsWith('up_') && new RegExp(`^${name}\\.to_[qk]\\.`).test(key));
        if (before || key === 'conv_in.weight') {
          expect(await size(slope), key).toBeGreaterThan(1e-8);
        }
      }
      expect(Object.keys(plain).some((key) => key.startsWith(`${last}.to_v`))).toBe(true);
      expect(namedTensors(tree).length).toBeGreaterThan(Object.keys(plain).length);
      disposeParams(base);
    });
  });
});
