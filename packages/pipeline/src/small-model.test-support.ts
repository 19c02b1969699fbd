import { parseMask2FormerConfig } from '@rass/mask2former';
import { disposeParams, mapTensors, randomParams } from '@rass/nn';
import { addScrLora, addSegLora, rassHeadParams } from '@rass/rass';
import { SCENE_CLASSES } from '@rass/scenes';
import { clipTextParams, parseClipTextConfig } from '@rass/text-encoder';
import { parseUnetConfig, type Unet, unetParams } from '@rass/unet';
import { parseVaeConfig, vaeParams } from '@rass/vae';
import { memorySink, paramSpecs, saveParams, startSafetensors } from '@rass/weights';
import { randomNormal } from '@tensorflow/tfjs-core';
import { stageLeaves } from './model/load-stage.ts';
import type { Stages } from './model/stages.ts';

const LEVELS = 3;
const VAE = {
  block_out_channels: [8, 16, 16],
  down_block_types: Array<string>(LEVELS).fill('DownEncoderBlock2D'),
  up_block_types: Array<string>(LEVELS).fill('UpDecoderBlock2D'),
  norm_num_groups: 4,
  mid_block_add_attention: false,
};
const UNET = {
  sample_size: 16,
  block_out_channels: [8, 16, 16, 16],
  down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
  layers_per_block: 1,
  norm_num_groups: 4,
  cross_attention_dim: 16,
  attention_head_dim: 2,
  use_linear_projection: true,
};
const SCHEDULER = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };
const TEXT = {
  vocab_size: 49408,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
};
const HEAD = {
  feature_size: 32,
  mask_feature_size: 16,
  hidden_dim: 16,
  num_attention_heads: 2,
  encoder_feedforward_dim: 32,
  dim_feedforward: 32,
  num_queries: 12,
  encoder_layers: 1,
  decoder_layers: 3,
  num_labels: SCENE_CLASSES.length,
};
const FUSION = {
  taps: [
    { name: 'vae.encoder.down_blocks.1', channels: 16, stride: 4 },
    { name: 'unet.mid_block', channels: 16, stride: 32 },
    { name: 'unet.up_blocks.0', channels: 16, stride: 16 },
    { name: 'unet.up_blocks.1', channels: 16, stride: 8 },
    { name: 'unet.up_blocks.2', channels: 16, stride: 4 },
  ],
  channels: 16,
  groups: 4,
};
const LORA = { rank: 2, alpha: 4 };

export const STAGES: Stages = {
  format: 1,
  restoration: { file: 'scr.safetensors', ...LORA, latentUpdate: 'residual', timestep: 1 },
  segmentation: {
    file: 'seg.safetensors',
    ...LORA,
    timestep: 1,
    mergesRestoration: true,
    size: 64,
    classes: SCENE_CLASSES.map(({ name, colour: [red, green, blue] }) => ({ name, colour: [red, green, blue] })),
    head: HEAD,
    fusion: FUSION,
  },
};

async function file(tree: unknown): Promise<Blob> {
  const sink = memorySink();
  await saveParams(tree, await startSafetensors(sink, paramSpecs(tree)));
  return new Blob([sink.bytes()]);
}

/** Adapters that do something: their second factors start at 0. */
const moved = (unet: Unet): Unet =>
  mapTensors(unet, ({ key, tensor }) => {
    if (!key.includes('lora_B')) return tensor;
    tensor.dispose();
    return randomNormal(tensor.shape, 0, 0.01, 'float32', tensor.size);
  });

const json = (value: unknown): Blob => new Blob([JSON.stringify(value)]);

/** The files of a model of both stages with random weights, by their paths. */
export async function smallModelFiles(): Promise<Map<string, Blob>> {
  const vae = vaeParams(randomParams(1), parseVaeConfig(VAE));
  const text = clipTextParams(randomParams(2), parseClipTextConfig(TEXT));
  const unet = unetParams(randomParams(3), parseUnetConfig(UNET));
  const scr = moved(await addScrLora(unet, { ...LORA, seed: 4 }));
  const seg = moved(await addSegLora(unet, { ...LORA, seed: 5 }));
  const head = rassHeadParams(randomParams(6), parseMask2FormerConfig(HEAD), FUSION);
  const files = new Map([
    ['model_index.json', json({ _class_name: 'StableDiffusionPipeline' })],
    ['rass.json', json(STAGES)],
    ['scheduler/scheduler_config.json', json(SCHEDULER)],
    ['vae/config.json', json(VAE)],
    ['vae/diffusion_pytorch_model.safetensors', await file(vae)],
    ['unet/config.json', json(UNET)],
    ['unet/diffusion_pytorch_model.safetensors', await file(unet)],
    ['text_encoder/config.json', json(TEXT)],
    ['text_encoder/model.safetensors', await file(text)],
    ['scr.safetensors', await file(stageLeaves(scr))],
    ['seg.safetensors', await file([stageLeaves(seg), head])],
  ]);
  disposeParams([vae, text, scr, seg, head]);
  return files;
}
