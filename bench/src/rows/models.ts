import { readFileSync } from 'node:fs';
import { gradients } from '@rass/kernels';
import { addAdapter, trainAdapters } from '@rass/lora';
import {
  mask2Former,
  mask2FormerHead,
  mask2FormerHeadConfig,
  mask2FormerHeadParams,
  mask2FormerParams,
  outputTensors,
  parseSwinConfig,
} from '@rass/mask2former';
import { namedTensors, randomParams, trainableTensors } from '@rass/nn';
import { randomValues } from '@rass/testkit/random';
import { clipText, clipTextParams, parseClipTextConfig } from '@rass/text-encoder';
import { parseUnetConfig, unet, unetParams } from '@rass/unet';
import { parseVaeConfig, vaeDecode, vaeDecoderParams, vaeEncode, vaeEncoderParams } from '@rass/vae';
import { add, mean, square, type Tensor, type Tensor3D, type Tensor4D, tensor } from '@tensorflow/tfjs-core';
import type { Row } from '../ours.ts';
import { packedParams, type Stored } from './packed.ts';

const SEED = 1;
const TIMESTEP = 1;

function config(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../configs/${name}.json`, import.meta.url), 'utf8'));
}

const random = <T>(...shape: number[]): T =>
  tensor(
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      { seed: SEED },
    ),
    shape,
  ) as T;

const unetModel = (from = randomParams(SEED)) => unetParams(from, parseUnetConfig(config('unet')));

function textRow(): ReturnType<Row> {
  const model = clipTextParams(randomParams(SEED), parseClipTextConfig(config('text-encoder')));
  const ids = Int32Array.from({ length: 77 }, (_, i) => (i === 76 ? 49407 : 100 * i));
  return () => {
    const { lastHiddenState, pooled } = clipText(model, { shape: [1, 77], ids });
    return [lastHiddenState, pooled];
  };
}

/** The model that is shipped in models/, with random weights. */
function tinyConfig(part: 'unet' | 'vae'): unknown {
  return JSON.parse(readFileSync(new URL(`../../../models/tiny-base/${part}/config.json`, import.meta.url), 'utf8'));
}

function tinyUnetRow(size: number): ReturnType<Row> {
  const given = tinyConfig('unet') as { cross_attention_dim: number };
  const config = parseUnetConfig(given);
  const model = unetParams(randomParams(SEED), config);
  const sample_BHWC = random<Tensor4D>(1, size, size, config.inChannels);
  const text_BTD = random<Tensor3D>(1, 77, given.cross_attention_dim);
  return () => [unet(model, { sample_BHWC, text_BTD, timestep: TIMESTEP }).sample];
}

function tinyDecodeRow(size: number): ReturnType<Row> {
  const config = parseVaeConfig(tinyConfig('vae'));
  const model = vaeDecoderParams(randomParams(SEED), config);
  const latents = random<Tensor4D>(1, size, size, config.latentChannels);
  return () => [vaeDecode(model, latents).image];
}

function unetRow(size: number, stored?: Stored): ReturnType<Row> {
  const model = unetModel(stored && packedParams(stored));
  const sample_BHWC = random<Tensor4D>(1, size, size, 4);
  const text_BTD = random<Tensor3D>(1, 77, 1024);
  return () => [unet(model, { sample_BHWC, text_BTD, timestep: TIMESTEP }).sample];
}

function encodeRow(): ReturnType<Row> {
  const model = vaeEncoderParams(randomParams(SEED), parseVaeConfig(config('vae')));
  const image = random<Tensor4D>(1, 512, 512, 3);
  return () => {
    const { posterior } = vaeEncode(model, image);
    return [posterior.mean, posterior.logVariance];
  };
}

function decodeRow(): ReturnType<Row> {
  const model = vaeDecoderParams(randomParams(SEED), parseVaeConfig(config('vae')));
  const latents = random<Tensor4D>(1, 64, 64, 4);
  return () => [vaeDecode(model, latents).image];
}

/** The gradients of a mean square by the inputs, and by all weights where they are not frozen. */
function trainingRow(size: number, frozen: boolean): ReturnType<Row> {
  const model = unetModel();
  const inputs = { sample: random<Tensor4D>(1, size, size, 4), text: random<Tensor3D>(1, 77, 1024) };
  const weights = frozen ? {} : Object.fromEntries(namedTensors(model).map(({ key, tensor }) => [key, tensor]));
  const loss = ({ sample, text }: typeof inputs): Tensor =>
    mean(square(unet(model, { sample_BHWC: sample, text_BTD: text, timestep: TIMESTEP, checkpointing: true }).sample));
  return () => Object.values(gradients(loss, { ...inputs, ...weights }));
}

/** What RASS puts its LoRA on. */
const LORA_TARGETS = readFileSync(new URL('../../configs/lora-targets.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n');

/** The gradients of a mean square by RASS's Seg LoRA, the weights frozen. */
async function adapterRow(size: number): Promise<() => Tensor[]> {
  const options = { targets: LORA_TARGETS, rank: 4, init: 'gaussian' } as const;
  const model = trainAdapters(await addAdapter(unetModel(), options));
  const [sample_BHWC, text_BTD] = [random<Tensor4D>(1, size, size, 4), random<Tensor3D>(1, 77, 1024)];
  const loss = (): Tensor =>
    mean(square(unet(model, { sample_BHWC, text_BTD, timestep: TIMESTEP, checkpointing: true }).sample));
  return () => Object.values(gradients(loss, trainableTensors(model)));
}

/** @source Swin-L with windows of 12, as Mask2Former's published models for ADE20K */
const SWIN_LARGE = { embed_dim: 192, depths: [2, 2, 18, 2], num_heads: [6, 12, 24, 48], window_size: 12 };

function mask2FormerRow(): ReturnType<Row> {
  const config = { backbone: parseSwinConfig(SWIN_LARGE), head: mask2FormerHeadConfig(150) };
  const model = mask2FormerParams(randomParams(SEED), config);
  const pixels = random<Tensor4D>(1, 512, 512, 3);
  return () => {
    const { classQueriesLogits, masksQueriesLogits } = mask2Former(model, pixels);
    return [classQueriesLogits, masksQueriesLogits];
  };
}

/** The gradients of the mean squares of every layer's logits by all of the head's weights. */
function headRow(): ReturnType<Row> {
  const channels = { res2: 512, res3: 512, res4: 512, res5: 512 };
  const model = mask2FormerHeadParams(randomParams(SEED), mask2FormerHeadConfig(150), channels);
  const level = (size: number): Tensor4D => random<Tensor4D>(1, size, size, 512);
  const pyramid = { res2: level(128), res3: level(64), res4: level(32), res5: level(16) };
  const weights = Object.fromEntries(namedTensors(model).map(({ key, tensor }) => [key, tensor]));
  const loss = (): Tensor =>
    Object.values(outputTensors(mask2FormerHead(model, pyramid, { auxiliary: true })))
      .map((logits): Tensor => mean(square(logits)))
      .reduce((a, b) => add(a, b));
  return () => Object.values(gradients(loss, weights));
}

/** The rows by the names that main.ts gives them. */
export const modelRows: Readonly<Record<string, Row>> = {
  'text-encoder': textRow,
  unet: () => unetRow(64),
  'vae-encode': encodeRow,
  'vae-decode': decodeRow,
  'unet-frozen': () => trainingRow(32, true),
  'unet-training': () => trainingRow(32, false),
  mask2former: mask2FormerRow,
  'mask2former-training': headRow,
  'unet-16': () => unetRow(16),
  'unet-16-half': () => unetRow(16, 'half'),
  'unet-16-8-bits': () => unetRow(16, '8-bits'),
  'unet-16-4-bits': () => unetRow(16, '4-bits'),
  'unet-half': () => unetRow(64, 'half'),
  'tiny-unet': () => tinyUnetRow(32),
  'tiny-vae-decode': () => tinyDecodeRow(32),
  'unet-lora': () => adapterRow(32),
};
