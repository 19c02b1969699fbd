import { mapTensors, namedTensors } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, type Golden, loadGolden } from '@rass/testkit';
import { add, grads, mul, split, sub, sum, type Tensor, type Tensor4D } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { goldenImage, goldenSource, goldenVae, goldenWeight } from './golden.test-support.ts';
import {
  klDivergence,
  type LatentDistribution,
  negativeLogLikelihood,
  parseVaeConfig,
  sampleLatents,
  scaleLatents,
  unscaleLatents,
  vaeDecode,
  vaeDecoderParams,
  vaeEncode,
  vaeEncoderParams,
} from './index.ts';

/** The gradients of `loss` by the input and by every weight, under the names of the golden case. */
function gradientsOf<Half>(vae: Half, x: Tensor4D, loss: (vae: Half, x: Tensor4D) => Tensor): Record<string, Tensor> {
  const weights = namedTensors(vae);
  const run = (input: Tensor, ...values: Tensor[]): Tensor => {
    const at = new Map(weights.map(({ key }, i) => [key, values[i]]));
    return loss(
      mapTensors(vae, ({ key }) => at.get(key) as Tensor),
      input as Tensor4D,
    );
  };
  const [dx, ...dw] = grads(run)([x, ...weights.map(({ tensor }) => tensor)]);
  return Object.fromEntries([['in', dx], ...weights.map(({ key }, i) => [`w/${key}`, dw[i]])]);
}

async function expectGradients(golden: Golden, prefix: string, actual: Record<string, Tensor>): Promise<void> {
  const names = golden.names(`grad/${prefix}/`);
  expect(names.length).toBeGreaterThan(20);
  const magnitude = (name: string): number =>
    Math.max(...Array.from(golden.raw(`grad/${prefix}/${name}`).values, Math.abs));
  const largest = Math.max(...names.map(magnitude));
  for (const name of names) {
    const at = `grad/${prefix}/${name}`;
    const expected = name === 'in' ? goldenImage(golden, at) : goldenWeight(golden, at);
    if (name.endsWith('to_k.bias')) {
      // Softmax does not see what all scores of a row have in common: this gradient is 0, and rounding on both sides.
      const values = await actual[name].data();
      expect(Math.max(...values.map(Math.abs)), name).toBeLessThan(1e-5 * largest);
      continue;
    }
    await expectClose(actual[name], expected, { relative: 1e-3, label: `${prefix} ${name}` });
  }
}

describeOnBackends('vae', () => {
  for (const name of ['square', 'wide', 'bare-odd']) {
    it(`equals diffusers' AutoencoderKL: ${name}`, async () => {
      const golden = loadGolden(`vae/${name}`);
      const vae = goldenVae(golden);
      const { posterior } = vaeEncode(vae, goldenImage(golden, 'in/image'));
      await expectClose(posterior.mean, goldenImage(golden, 'out/mean'), { label: 'mean' });
      await expectClose(posterior.logVariance, goldenImage(golden, 'out/logvar'), { label: 'logvar' });
      const noise = goldenImage(golden, 'in/noise');
      await expectClose(sampleLatents(posterior, { noise }), goldenImage(golden, 'out/sample'), { label: 'sample' });
      await expectClose(klDivergence(posterior), golden.tensor('out/kl'), { label: 'kl' });
      const moments: Tensor4D[] = split(goldenImage(golden, 'in/other'), 2, 3);
      const other: LatentDistribution = { mean: moments[0], logVariance: moments[1] };
      await expectClose(klDivergence(posterior, other), golden.tensor('out/klOther'), { label: 'kl of two' });
      await expectClose(negativeLogLikelihood(posterior, noise), golden.tensor('out/nll'), { label: 'nll' });
      const { image } = vaeDecode(vae, goldenImage(golden, 'in/latents'));
      await expectClose(image, goldenImage(golden, 'out/decoded'), { label: 'decoded' });
    });
  }

  it('returns the outputs of the modules that are asked for by name', async () => {
    const golden = loadGolden('vae/wide');
    const vae = goldenVae(golden);
    const names = golden.names('tap/');
    const inEncoder = names.filter((name) => name.startsWith('encoder') || name === 'quant_conv');
    const inDecoder = names.filter((name) => !inEncoder.includes(name));
    expect([inEncoder.length, inDecoder.length]).toEqual([12, 10]);
    const encoding = vaeEncode(vae, goldenImage(golden, 'in/image'), { taps: inEncoder });
    const decoding = vaeDecode(vae, goldenImage(golden, 'in/latents'), { taps: inDecoder });
    expect(Object.keys(encoding.taps).sort()).toEqual([...inEncoder].sort());
    for (const name of names) {
      const tap = encoding.taps[name] ?? decoding.taps[name];
      await expectClose(tap, goldenImage(golden, `tap/${name}`), { label: name });
    }
  });

  for (const [name, checkpointing] of [
    ['square', false],
    ['bare-odd', true],
  ] as const) {
    it(`has diffusers' gradients by the input and every weight: ${name}${checkpointing ? ', checkpointed' : ''}`, async () => {
      const golden = loadGolden(`vae/${name}`);
      const config = parseVaeConfig(golden.config);
      const [a, b, c] = ['a', 'b', 'c'].map((each) => goldenImage(golden, `in/${each}`));
      const encoder = vaeEncoderParams(goldenSource(golden), config);
      const encoding = gradientsOf(encoder, goldenImage(golden, 'in/image'), (p, x) => {
        const { mean, logVariance } = vaeEncode(p, x, { checkpointing }).posterior;
        return add(sum(mul(mean, a)), sum(mul(logVariance, b)));
      });
      await expectGradients(golden, 'encode', encoding);
      const decoder = vaeDecoderParams(goldenSource(golden), config);
      const decoding = gradientsOf(decoder, goldenImage(golden, 'in/latents'), (p, x) =>
        sum(mul(vaeDecode(p, x, { checkpointing }).image, c)),
      );
      await expectGradients(golden, 'decode', decoding);
    });
  }

  it('gives the same with slicing, one image at a time', async () => {
    const golden = loadGolden('vae/square');
    const vae = goldenVae(golden);
    const taps = ['encoder.mid_block'] as const;
    const image = goldenImage(golden, 'in/image');
    const [together, sliced] = [false, true].map((slicing) => vaeEncode(vae, image, { slicing, taps }));
    await expectClose(sliced.posterior.mean, together.posterior.mean, { relative: 1e-5 });
    await expectClose(sliced.taps['encoder.mid_block'], together.taps['encoder.mid_block'], { relative: 1e-5 });
    const { image: decoded } = vaeDecode(vae, goldenImage(golden, 'in/latents'), { slicing: true });
    await expectClose(decoded, goldenImage(golden, 'out/decoded'));
  });

  it('scales latents there and back', async () => {
    const golden = loadGolden('vae/wide');
    const latents = goldenImage(golden, 'in/latents');
    const plain = parseVaeConfig(golden.config);
    await expectClose(scaleLatents(plain, latents), mul(latents, 0.18215), { relative: 1e-6 });
    const shifted = { ...plain, shiftFactor: 0.5, scalingFactor: 2 };
    await expectClose(scaleLatents(shifted, latents), mul(sub(latents, 0.5), 2), { relative: 1e-6 });
    const each = { ...plain, latentsMean: [1, 2, 3, 4], latentsStd: [2, 2, 4, 4] };
    for (const config of [plain, shifted, each]) {
      await expectClose(unscaleLatents(config, scaleLatents(config, latents)), latents, { relative: 1e-5 });
    }
    const first = await scaleLatents(each, latents).data();
    expect(first[2]).toBeCloseTo((((await latents.data())[2] - 3) / 4) * 0.18215, 5);
  });

  it('draws the same sample for the same seed, and leaves no tensor behind', async () => {
    const golden = loadGolden('vae/square');
    const vae = goldenVae(golden);
    const image = goldenImage(golden, 'in/image');
    const { posterior } = vaeEncode(vae, image);
    const [once, again, other] = [5, 5, 6].map((seed) => sampleLatents(posterior, { seed }));
    await expectClose(again, once, { relative: 0 });
    expect((await other.data())[0]).not.toBe((await once.data())[0]);
    await expectNoLeaks(() => {
      const { posterior: p, taps } = vaeEncode(vae, image, { taps: ['encoder', 'quant_conv', 'encoder.mid_block'] });
      const decoded = vaeDecode(vae, once, { taps: ['decoder'], slicing: true });
      for (const t of [p.mean, p.logVariance, ...Object.values(taps), decoded.image, decoded.taps.decoder]) t.dispose();
    });
  });
});
