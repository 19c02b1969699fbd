import { randomParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, loadGolden } from '@rass/testkit';
import { keep, ones, type Tensor4D, zerosLike } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { goldenImage, goldenVae } from './golden.test-support.ts';
import { parseVaeConfig, vaeDecode, vaeEncode, vaeParams } from './index.ts';

describeOnBackends('blended tiles', () => {
  for (const name of ['wide', 'tall', 'small', 'ragged']) {
    it(`equals diffusers' enable_tiling: ${name}`, async () => {
      const golden = loadGolden('vae/tiles');
      const vae = goldenVae(golden);
      const { posterior } = vaeEncode(vae, goldenImage(golden, `in/${name}/image`), { tiling: 'blend' });
      await expectClose(posterior.mean, goldenImage(golden, `out/${name}/mean`));
      await expectClose(posterior.logVariance, goldenImage(golden, `out/${name}/logvar`));
      const { image } = vaeDecode(vae, goldenImage(golden, `in/${name}/latents`), { tiling: 'blend' });
      await expectClose(image, goldenImage(golden, `out/${name}/decoded`));
    });
  }

  it('leaves no tensor behind, and nothing out', async () => {
    const vae = vaeParams(randomParams(1), parseVaeConfig({ ...small, block_out_channels: [4, 4] }));
    // One row more than two steps of 12: diffusers fails on a tile that small, though nothing would be left of it.
    const image = keep(ones([2, 25, 17, 3]) as Tensor4D);
    const options = { tiling: { kind: 'blend', tileSize: 16 }, slicing: true } as const;
    await expectNoLeaks(() => {
      const { posterior } = vaeEncode(vae, image, options);
      expect(posterior.mean.shape).toEqual([2, 12, 8, 4]);
      const decoded = vaeDecode(vae, posterior.mean, options);
      expect(decoded.image.shape).toEqual([2, 24, 16, 3]);
      for (const t of [posterior.mean, posterior.logVariance, decoded.image]) t.dispose();
    });
  });
});

const small = {
  down_block_types: Array(2).fill('DownEncoderBlock2D'),
  up_block_types: Array(2).fill('UpDecoderBlock2D'),
  norm_num_groups: 2,
};

describeOnBackends('blended tiles, by hand', () => {
  it('fades from one tile to the next', async () => {
    // With all weights 0 but for the last bias, every tile is flat; the blend of two of a height must stay flat too.
    const golden = loadGolden('vae/tiles');
    const vae = goldenVae(golden);
    const latents = goldenImage(golden, 'in/wide/latents');
    const flat = { ...vae.decoder.convOut, weight: zerosLike(vae.decoder.convOut.weight) };
    const { image } = vaeDecode({ ...vae, decoder: { ...vae.decoder, convOut: flat } }, latents, { tiling: 'blend' });
    const bias = await vae.decoder.convOut.bias?.data();
    const values = await image.data();
    for (let i = 0; i < values.length; i++) expect(values[i]).toBeCloseTo(bias?.[i % 3] as number, 5);
  });
}, ['cpu']);
