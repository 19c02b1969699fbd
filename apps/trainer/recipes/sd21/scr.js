import { defineRecipe } from '@rass/trainer';

export default defineRecipe({
  kind: 'scr',
  name: 'sd21-scr',
  about:
    "Stage 1 at full size: Stable Diffusion 2.1-base on ADE20K. RASS's own settings are not published: these are those of OSEDiff and PiSA-SR, " +
    "with this project's alignment.",
  hardware: 'an accelerator with 24 GB or more; a step of one crop takes 43 s and 8.7 GB on two CPU cores',
  model: 'models/stable-diffusion-2-1-base',
  degradation: 'rass',
  steps: 20_000,
  batch: 2,
  accumulate: 8,
  checkpointing: true,
  lora: { rank: 4, alpha: 8 },
  latentUpdate: 'residual',
  timestep: 1,
  dropPrompt: 0.1,
  data: {
    source: { kind: 'ade20k', folder: 'data/ADEChallengeData2016', split: 'training' },
    augment: { crop: 512, shortSides: 'paper' },
    workers: 2,
  },
  loss: { net: 'vgg', l2: 1, lpips: 2, kind: 'csd', distillation: 1, guidance: 7.5, alignment: 1, warmUp: 500 },
  optimizer: { rate: 5e-5, weightDecay: 0.01, clip: 1 },
  validation: {
    every: 1000,
    source: { kind: 'ade20k', folder: 'data/ade-lq' },
    samples: 32,
    pictures: 6,
  },
  checkpoints: { every: 500, keepBest: [{ metric: 'lpips', mode: 'min' }] },
});
