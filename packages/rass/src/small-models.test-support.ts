import { randomParams } from '@rass/nn';
import { randomValues } from '@rass/testkit';
import { noiseSchedule, parseScheduleConfig, parseUnetConfig, type Unet, unetParams } from '@rass/unet';
import { parseVaeConfig, type Vae, vaeParams } from '@rass/vae';
import { type Tensor3D, type Tensor4D, tensor } from '@tensorflow/tfjs-core';

/** Two levels with attention over the text. */
const UNET = {
  block_out_channels: [8, 16],
  down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
  layers_per_block: 1,
  norm_num_groups: 4,
  cross_attention_dim: 8,
  attention_head_dim: 2,
};
const VAE = {
  block_out_channels: [4, 8],
  down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
  up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
  norm_num_groups: 4,
  mid_block_add_attention: false,
};

/** The side of latents, half of an image's. */
export const LATENT_SIDE = 8;
export const TOKENS = 6;

export const smallUnet = (seed = 1): Unet => unetParams(randomParams(seed), parseUnetConfig(UNET));
export const smallVae = (seed = 2): Vae => vaeParams(randomParams(seed), parseVaeConfig(VAE));
export const smallSchedule = () =>
  noiseSchedule(parseScheduleConfig({ beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' }));

const sized = (shape: readonly number[], seed: number) =>
  tensor(
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      { seed },
    ),
    [...shape],
  );

export const randomLatents = (seed: number, batch = 1, side = LATENT_SIDE): Tensor4D =>
  sized([batch, side, side, 4], seed) as Tensor4D;
/** Of latents of a side. */
export const randomImage = (seed: number, batch = 1, side = LATENT_SIDE): Tensor4D =>
  sized([batch, 2 * side, 2 * side, 3], seed) as Tensor4D;
export const randomText = (seed: number, batch = 1): Tensor3D => sized([batch, TOKENS, 8], seed) as Tensor3D;
