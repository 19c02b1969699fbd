import { fileURLToPath } from 'node:url';
import { defineRecipe } from '@rass/trainer';

export default defineRecipe({
  kind: 'seg',
  name: 'tiny-seg',
  about: 'Stage 2 of rass-tiny: the Seg LoRA, the fusion of features and a small head, on degraded scenes.',
  model: 'runs/tiny-scr/model',
  degradation: fileURLToPath(new URL('degradation.yml', import.meta.url)),
  steps: 6500,
  batch: 4,
  logEvery: 20,
  data: {
    source: { kind: 'scenes', size: 256, length: 4000, keep: 'runs/scenes' },
    augment: { crop: 128, shortSides: [128, 160, 192, 256], mostOfOneClass: 0.75 },
  },
  head: {
    feature_size: 64,
    mask_feature_size: 64,
    hidden_dim: 64,
    num_attention_heads: 4,
    encoder_feedforward_dim: 128,
    dim_feedforward: 128,
    num_queries: 40,
    encoder_layers: 2,
    decoder_layers: 4,
  },
  fusion: {
    taps: [
      'vae.encoder.down_blocks.1',
      'unet.mid_block',
      'unet.up_blocks.0',
      'unet.up_blocks.1',
      'unet.up_blocks.2',
      'unet.up_blocks.3',
    ],
    channels: 64,
    groups: 8,
  },
  criterion: { trainNumPoints: 2048 },
  optimizer: {
    rate: 1e-3,
    weightDecay: 0.05,
    clip: 0.01,
    schedule: { kind: 'poly', power: 0.9 },
    groups: [{ name: 'backbone', match: 'lora_|conv_in', factor: 0.1 }],
  },
  average: { decay: 0.995 },
  validation: { every: 500, samples: 48, pictures: 6 },
  checkpoints: { every: 100 },
});
