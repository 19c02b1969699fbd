import type { RecipeOptions } from '../recipe/recipes.ts';

const THREE = 3;

/** What the small recipes of the tests have in common: scenes of 64 pixels. */
const common = (steps: number) =>
  ({
    steps,
    batch: 2,
    seed: 1,
    logEvery: 1,
    data: { source: { kind: 'scenes', size: 64 }, augment: { crop: 64 }, workers: 1 },
    validation: { every: 0, samples: 2 },
    checkpoints: { every: 2, keepLast: 2 },
  }) as const;

export const smallVae = (steps: number) =>
  ({
    kind: 'vae',
    name: 'small-vae',
    ...common(steps),
    vae: {
      block_out_channels: [8, 16, 16],
      down_block_types: Array<string>(THREE).fill('DownEncoderBlock2D'),
      up_block_types: Array<string>(THREE).fill('UpDecoderBlock2D'),
      norm_num_groups: 4,
      mid_block_add_attention: false,
    },
  }) satisfies RecipeOptions;

export const smallUnet = (steps: number, model: string) =>
  ({
    kind: 'unet',
    name: 'small-unet',
    ...common(steps),
    model,
    unet: {
      sample_size: 16,
      block_out_channels: [8, 16, 16, 16],
      down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
      up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
      layers_per_block: 1,
      norm_num_groups: 4,
      cross_attention_dim: 16,
      attention_head_dim: 2,
      use_linear_projection: true,
    },
    scheduler: { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' },
    textEncoder: { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 },
  }) satisfies RecipeOptions;

export const smallScr = (steps: number, model: string) =>
  ({
    kind: 'scr',
    name: 'small-scr',
    ...common(steps),
    model,
    degradation: 'none',
    loss: { kind: 'vsd', warmUp: 4 },
    average: { decay: 0.9 },
    optimizer: { rate: 1e-3 },
  }) satisfies RecipeOptions;

export const smallSeg = (steps: number, model: string) =>
  ({
    kind: 'seg',
    name: 'small-seg',
    ...common(steps),
    model,
    degradation: 'none',
    head: {
      feature_size: 32,
      mask_feature_size: 16,
      hidden_dim: 16,
      num_attention_heads: 2,
      encoder_feedforward_dim: 32,
      dim_feedforward: 32,
      num_queries: 12,
      encoder_layers: 1,
      decoder_layers: 3,
    },
    fusion: {
      taps: ['vae.encoder.down_blocks.1', 'unet.mid_block', 'unet.up_blocks.0', 'unet.up_blocks.1', 'unet.up_blocks.2'],
      channels: 16,
      groups: 4,
    },
    criterion: { trainNumPoints: 256 },
    optimizer: {
      rate: 1e-3,
      clip: 0.01,
      schedule: { kind: 'poly' },
      groups: [{ name: 'backbone', match: 'lora_|conv_in|backbone', factor: 0.1 }],
    },
    accumulate: 2,
  }) satisfies RecipeOptions;
