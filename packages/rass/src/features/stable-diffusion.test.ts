import { disposeParams, randomParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, randomValues } from '@rass/testkit';
import { parseUnetConfig, unet, unetParams, tapNames as unetTapNames } from '@rass/unet';
import { parseVaeConfig, scaleLatents, vaeEncode, vaeEncoderParams, tapNames as vaeTapNames } from '@rass/vae';
import { dispose, type Tensor3D, type Tensor4D, tensor, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { featureFusionParams } from './fusion.ts';
import { rassFeatures, stableDiffusionTaps } from './stable-diffusion.ts';
import { RASS_TAPS } from './taps.ts';

const FOUR = 4;
const UNET = { block_out_channels: [8, 16, 16, 16], layers_per_block: 1, norm_num_groups: 4, cross_attention_dim: 8, attention_head_dim: 4 }; // biome-ignore format: one line
const VAE = { block_out_channels: [4, 8, 8, 8], down_block_types: Array(FOUR).fill('DownEncoderBlock2D'), up_block_types: Array(FOUR).fill('UpDecoderBlock2D'), layers_per_block: 1, norm_num_groups: 4 }; // biome-ignore format: one line
const CHANNELS = [8, 8, 16, 16, 16, 8];

it("are Stable Diffusion 2.1's maps, with the channels and strides that RASS's configuration says", () => {
  const vae = vaeTapNames(parseVaeConfig({ ...VAE, block_out_channels: [128, 256, 512, 512], norm_num_groups: 32 }));
  const denoiser = unetTapNames(parseUnetConfig({ sample_size: 64, cross_attention_dim: 1024, attention_head_dim: [5, 10, 20, 20], use_linear_projection: true })); // biome-ignore format: one line
  const maps = [
    ...vae.map(({ name, channels, level }) => ({ name: `vae.${name}`, channels, stride: 2 ** level })),
    // The latents have an eighth of the image's sides.
    ...denoiser.map(({ name, channels, level }) => ({ name: `unet.${name}`, channels, stride: 8 * 2 ** level })),
  ];
  for (const tap of RASS_TAPS) expect(maps).toContainEqual(tap);
});

describeOnBackends('rassFeatures', () => {
  it('are a pyramid of the encoder and of one step of the UNet at t = 1 on the latents of the image', async () => {
    const vae = vaeEncoderParams(randomParams(1), parseVaeConfig(VAE));
    const denoiser = unetParams(randomParams(2), parseUnetConfig(UNET));
    const taps = RASS_TAPS.map((tap, i) => ({ ...tap, channels: CHANNELS[i] }));
    const fusion = featureFusionParams(randomParams(3), { taps, channels: 16, bottleneck: 4, groups: 2 });
    const image = tensor(randomValues(64 * 128 * 3, { seed: 4 }), [1, 64, 128, 3]) as Tensor4D;
    const text = tensor(randomValues(5 * 8, { seed: 5 }), [1, 5, 8]) as Tensor3D;
    const p = { vae, unet: denoiser, fusion };
    await expectNoLeaks(async () => {
      const { res2, res3, res4, res5 } = rassFeatures(p, image, text);
      expect([res2, res3, res4, res5].map(({ shape }) => shape)).toEqual([
        [1, 16, 32, 16],
        [1, 8, 16, 16],
        [1, 4, 8, 16],
        [1, 2, 4, 16],
      ]);
      dispose([res2, res3, res4, res5]);
      const maps = stableDiffusionTaps(p, image, text, { taps });
      const byHand = tidy(() => {
        const { posterior, taps: ofVae } = vaeEncode(vae, image, { taps: ['encoder.down_blocks.1'] });
        const inputs = { sample_BHWC: scaleLatents(vae.config, posterior.mean), timestep: 1, text_BTD: text };
        const { taps: ofUnet } = unet(denoiser, { ...inputs, taps: ['up_blocks.2'] });
        return [ofVae['encoder.down_blocks.1'], ofUnet['up_blocks.2']];
      });
      await expectClose(maps['vae.encoder.down_blocks.1'], byHand[0]);
      await expectClose(maps['unet.up_blocks.2'], byHand[1]);
      const drawn = stableDiffusionTaps(p, image, text, { taps, latentSeed: 1 });
      expect(await drawn['unet.up_blocks.3'].data()).not.toEqual(await maps['unet.up_blocks.3'].data());
      dispose([maps, byHand, drawn] as never);
    });
    disposeParams([vae, denoiser, fusion]);
    dispose([image, text]);
  });
});
