import { fileURLToPath } from 'node:url';
import { defineRecipe } from '@rass/trainer';

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));

export default defineRecipe({
  kind: 'scr',
  name: 'tiny-scr',
  about:
    "Stage 1 of rass-tiny: one-step restoration of scenes and photographs, its attention drawn to the scenes' labels.",
  model: 'runs/tiny-unet/model',
  degradation: beside('degradation.yml'),
  steps: 1600,
  batch: 4,
  logEvery: 20,
  lora: { rank: 8, alpha: 16 },
  dropPrompt: 0.3,
  data: {
    source: {
      kind: 'mix',
      parts: [
        { source: { kind: 'scenes', size: 256, length: 4000, keep: 'runs/scenes' }, share: 0.85 },
        { source: { kind: 'list', file: beside('photographs.txt') }, share: 0.15 },
      ],
    },
    augment: { crop: 128, shortSides: [128, 160, 192, 256] },
  },
  loss: { net: 'alex', l2: 8, lpips: 1, kind: 'csd', distillation: 0.05, alignment: 1, warmUp: 300 },
  optimizer: {
    rate: 1e-3,
    schedule: { kind: 'cosine', warmUp: 50 },
    // The small text encoder was never trained: what looks at it has a long way to go.
    groups: [{ name: 'cross-attention', match: 'attn2', factor: 5 }],
  },
  average: { decay: 0.995 },
  validation: { every: 400, samples: 24, pictures: 6 },
  checkpoints: { every: 100 },
});
