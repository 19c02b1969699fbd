import { defineRecipe } from '@rass/trainer';

const LEVELS = 3;

export default defineRecipe({
  kind: 'vae',
  name: 'tiny-vae',
  about:
    'The autoencoder of rass-tiny: photographs to a quarter of their side with four channels, on procedural scenes.',
  hardware: 'two CPU cores, native backend: 1.1 s a step, 2 h in all, 3.2 GB',
  expected: 'on 16 scenes of 96 x 96 that it was not trained on: PSNR 25.8 dB, LPIPS (Alex) 0.056',
  steps: 6000,
  batch: 8,
  logEvery: 20,
  vae: {
    block_out_channels: [24, 48, 80],
    down_block_types: Array<string>(LEVELS).fill('DownEncoderBlock2D'),
    up_block_types: Array<string>(LEVELS).fill('UpDecoderBlock2D'),
    layers_per_block: 1,
    norm_num_groups: 8,
    latent_channels: 4,
    mid_block_add_attention: false,
  },
  data: { source: { kind: 'scenes', size: 160 }, augment: { crop: 96 } },
  optimizer: { rate: 1e-3, schedule: { kind: 'cosine', warmUp: 100 } },
  average: { decay: 0.998 },
  validation: { every: 1000, samples: 16, pictures: 6 },
  checkpoints: { every: 250 },
  loss: { net: 'alex' },
});
