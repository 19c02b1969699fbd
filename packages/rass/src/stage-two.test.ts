import { describeAdapters } from '@rass/lora';
import { mask2FormerHeadConfig } from '@rass/mask2former';
import { namedTensors, shapeParams } from '@rass/nn';
import { parseUnetConfig, unetParams } from '@rass/unet';
import { expect, it } from 'vitest';
import { addSegLora, countStageTwo, isTrainedInStage, rassHeadParams } from './index.ts';

const STABLE_DIFFUSION = {
  sample_size: 64,
  cross_attention_dim: 1024,
  attention_head_dim: [5, 10, 20, 20],
  use_linear_projection: true,
};

it("trains what RASS's second stage trains: 27,905,063 numbers", async () => {
  const from = shapeParams();
  const unet = await addSegLora(unetParams(from, parseUnetConfig(STABLE_DIFFUSION)), { from });
  const adapters = describeAdapters(unet);
  expect(adapters.map(({ name }) => name).sort()).toEqual([
    'default_decoder_s2',
    'default_encoder_s2',
    'default_others_s2',
  ]);
  expect(adapters.reduce((sum, { layers }) => sum + layers, 0)).toBe(257);
  expect(adapters.reduce((sum, { parameters }) => sum + parameters, 0)).toBe(4_044_176);
  const head = rassHeadParams(from, mask2FormerHeadConfig(150));
  expect(countStageTwo(unet, head)).toBe(27_905_063);
  const frozen = namedTensors(unet).filter(({ key }) => !isTrainedInStage(key));
  expect(frozen.some(({ key }) => key === 'conv_out.weight')).toBe(true);
});
