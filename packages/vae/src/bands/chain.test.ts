import { disposeParams, randomParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, randomValues } from '@rass/testkit';
import {
  grads,
  keep,
  matMul,
  memory,
  mul,
  profile,
  softmax,
  split,
  sum,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tensor3d,
  tensor4d,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { parseVaeConfig, type VaeOptions, vaeDecode, vaeEncode, vaeParams } from '../index.ts';
import { attendInParts } from './attention.ts';

const config = parseVaeConfig({
  block_out_channels: [4, 8, 8],
  down_block_types: Array(3).fill('DownEncoderBlock2D'),
  up_block_types: Array(3).fill('UpDecoderBlock2D'),
  norm_num_groups: 2,
});

const random = (shape: [number, number, number, number], seed: number): Tensor4D =>
  tensor4d(
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      { seed },
    ),
    shape,
  );

/** Bands of one or two rows at the image's size, a few at the latents'. */
const tiling: VaeOptions['tiling'] = { kind: 'exact', maxTensorBytes: 4 * 22 * 8 * 5 };

describeOnBackends('exact tiling', (backend) => {
  it('encodes to what the untiled pass gives, taps too', async () => {
    const vae = vaeParams(randomParams(1), config);
    const taps = ['encoder.down_blocks.1', 'encoder.mid_block', 'quant_conv'] as const;
    // A software GPU compiles shaders for each size.
    const sizes = [
      [19, 13],
      [32, 20],
    ] as const;
    for (const [height, width] of backend === 'webgpu' ? sizes.slice(0, 1) : sizes) {
      const image = random([2, height, width, 3], 2);
      const whole = vaeEncode(vae, image, { taps });
      const banded = vaeEncode(vae, image, { taps, tiling });
      await expectClose(banded.posterior.mean, whole.posterior.mean, { relative: 1e-5 });
      await expectClose(banded.posterior.logVariance, whole.posterior.logVariance, { relative: 1e-5 });
      for (const tap of taps) await expectClose(banded.taps[tap], whole.taps[tap], { relative: 1e-5, label: tap });
    }
  });

  it('decodes to what the untiled pass gives, taps too', async () => {
    const vae = vaeParams(randomParams(1), config);
    const taps = ['decoder.up_blocks.0', 'decoder.mid_block'] as const;
    const latents = random([2, 7, 5, 4], 3);
    const whole = vaeDecode(vae, latents, { taps });
    const banded = vaeDecode(vae, latents, { taps, tiling });
    await expectClose(banded.image, whole.image, { relative: 1e-5 });
    for (const tap of taps) await expectClose(banded.taps[tap], whole.taps[tap], { relative: 1e-5, label: tap });
    const easy = vaeDecode(vae, latents, { tiling: 'exact' });
    await expectClose(easy.image, whole.image, { relative: 1e-5 });
  });

  it('has the untiled gradients', async () => {
    const vae = vaeParams(randomParams(1), config);
    const gradientsOf = (x: Tensor4D, loss: (x: Tensor4D, weight: Tensor4D) => Tensor): Tensor[] =>
      grads((a, b) => loss(a as Tensor4D, b as Tensor4D))([x, vae.encoder.convIn.weight]);
    const image = random([1, 16, 12, 3], 2);
    const weighting = random([1, 4, 3, 4], 4);
    const [whole, banded] = [undefined, tiling].map((chosen) =>
      gradientsOf(image, (x, weight) => {
        const encoder = { ...vae.encoder, convIn: { ...vae.encoder.convIn, weight } };
        return sum(mul(vaeEncode({ ...vae, encoder }, x, { tiling: chosen }).posterior.mean, weighting));
      }),
    );
    await expectClose(banded[0], whole[0], { relative: 1e-4, label: 'image' });
    await expectClose(banded[1], whole[1], { relative: 1e-4, label: 'weight' });
  });

  it('leaves no tensor behind', async () => {
    const vae = vaeParams(randomParams(1), config);
    const [image, latents] = [random([2, 16, 12, 3], 2), random([1, 4, 3, 4], 4)].map((x) => keep(x));
    await expectNoLeaks(() => {
      const { posterior, taps } = vaeEncode(vae, image, { tiling, taps: ['encoder'] });
      const decoded = vaeDecode(vae, latents, { tiling });
      for (const t of [posterior.mean, posterior.logVariance, taps.encoder, decoded.image]) t.dispose();
    });
    disposeParams(vae);
  });

  it('attends to keys in parts as to all of them at once', async () => {
    const random3 = (rows: number, seed: number): Tensor3D =>
      tensor3d(randomValues(rows * 6, { seed, low: -9, high: 9 }), [1, rows, 6]);
    const [q, k, v] = [random3(4, 1), random3(9, 2), random3(9, 3)];
    const expected = matMul(softmax(mul(matMul(q, k, false, true), 1 / Math.sqrt(6))), v);
    const [keys, values] = [k, v].map((x) => split(x, [2, 6, 1], 1) as Tensor3D[]);
    const parts = keys.map((each, i) => ({ keys: each, values: values[i] }));
    await expectClose(attendInParts(q, parts), expected, { relative: 1e-5 });
  });
});

describeOnBackends('exact tiling, memory', () => {
  it('makes no tensor over the limit and has a much lower peak', async () => {
    const vae = vaeParams(randomParams(1), config);
    const latents = random([1, 16, 16, 4], 3);
    const maxTensorBytes = 16384;
    const weights = Math.max(vae.decoder.convIn.weight.size, 9 * 8 * 8) * 4;
    const peaks: number[] = [];
    for (const chosen of [undefined, { kind: 'exact', maxTensorBytes } as const]) {
      const before = memory().numBytes;
      const { peakBytes, kernels } = await profile(() => vaeDecode(vae, latents, { tiling: chosen }).image);
      peaks.push(peakBytes - before);
      if (chosen === undefined) continue;
      const bytes = kernels
        .filter(({ name }) => name !== 'Reshape' && name !== 'Identity')
        .flatMap(({ outputShapes }) =>
          outputShapes.map((shape) => 4 * shape.reduce((a: number, b) => a * (b as number), 1)),
        )
        .sort((a, b) => b - a);
      // The image itself is the only larger one.
      expect(bytes[0]).toBe(4 * 64 * 64 * 3);
      expect(bytes[1]).toBeLessThanOrEqual(Math.max(maxTensorBytes, weights));
    }
    expect(peaks[1]).toBeLessThan(peaks[0] / 2);
  });

  it('names the stage whose smallest band is over the limit', () => {
    const vae = vaeParams(randomParams(1), config);
    const latents = random([1, 4, 4, 4], 3);
    expect(() => vaeDecode(vae, latents, { tiling: { kind: 'exact', maxTensorBytes: 100 } })).toThrow(
      'decoder.conv_in: a band of one row takes tensors of 288 bytes; got maxTensorBytes 100; raise it, or make the image narrower',
    );
  });
}, ['cpu']);
