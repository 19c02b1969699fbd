import { readFileSync } from 'node:fs';
import { type MaskTargets, mask2FormerHeadConfig, semanticTargets } from '@rass/mask2former';
import { lpipsParams } from '@rass/metrics/lpips';
import { disposeParams, namedTensors, randomParams, trainable, trainableTensors } from '@rass/nn';
import {
  addScrLora,
  addSegLora,
  isTrainedInStage,
  rassHeadParams,
  type ScrBatch,
  scrStep,
  segStep,
  segVariables,
} from '@rass/rass';
import { randomValues } from '@rass/testkit/random';
import { adamW, gradientNorm, parameterGroups } from '@rass/training';
import { noiseSchedule, parseScheduleConfig, parseUnetConfig, type Unet, unetParams } from '@rass/unet';
import { parseVaeConfig, vaeDecoderParams, vaeEncoderParams } from '@rass/vae';
import {
  dispose,
  scalar,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tensor,
  type Variable,
} from '@tensorflow/tfjs-core';
import type { Row } from '../ours.ts';

const SEED = 1;
const SIZE = 512;
const LATENTS = 64;
const TOKENS = 77;
const TEXT_WIDTH = 1024;
/** Stable Diffusion's. */
const SCHEDULE = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };
const TIMESTEP = 250;
/** Tags of two tokens each, behind the start marker. */
const TAGS = 5;

const config = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../configs/${name}.json`, import.meta.url), 'utf8'));

const random = <T>(...shape: number[]): T =>
  tensor(
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      { seed: SEED },
    ),
    shape,
  ) as T;

/** Classes in vertical stripes. */
const stripes = (count: number): Uint8Array =>
  Uint8Array.from({ length: SIZE * SIZE }, (_, i) => Math.floor(((i % SIZE) * count) / SIZE));

function trainableUnet(added: Unet): Unet {
  const unet = trainable(added, isTrainedInStage);
  disposeParams(namedTensors(added).flatMap(({ key, leaf }) => (/\.lora_[AB]\./.test(key) ? [leaf] : [])));
  return unet;
}

/** An update as training does it: the norm of all gradients, clipped, and AdamW. */
async function update(
  optimizer: ReturnType<typeof adamW>,
  gradients: Readonly<Record<string, Tensor>>,
  clip: number,
): Promise<void> {
  const { scale } = await gradientNorm(gradients, { clip });
  optimizer.step(gradients, { learningRate: 1e-5, gradientScale: scale });
  dispose(gradients as Record<string, Tensor>);
}

const groupsOf = (variables: Record<string, Variable>) => parameterGroups(variables, [], { weightDecay: 0.01 });

/** A whole step of stage 1: L2, LPIPS on VGG16, CSD and the attention alignment. */
async function scrRow(): Promise<() => Promise<Tensor[]>> {
  const frozen = unetParams(randomParams(SEED), parseUnetConfig(config('unet')));
  const unet = trainableUnet(await addScrLora(frozen, { seed: SEED }));
  const schedule = noiseSchedule(parseScheduleConfig(SCHEDULE));
  const vae = vaeDecoderParams(randomParams(SEED), parseVaeConfig(config('vae')));
  const model = {
    unet,
    schedule,
    vae,
    lpips: lpipsParams(randomParams(SEED), 'vgg'),
    distillation: { kind: 'csd', judge: { unet: frozen, schedule } } as const,
  };
  const labels = stripes(TAGS);
  const tags = Array.from({ length: TAGS }, (_, i) => ({ tag: `tag ${i}`, positions: [1 + 2 * i, 2 + 2 * i] }));
  const batch: ScrBatch = {
    latents: random<Tensor4D>(1, LATENTS, LATENTS, 4),
    target: random<Tensor4D>(1, SIZE, SIZE, 3),
    text: random<Tensor3D>(1, TOKENS, TEXT_WIDTH),
    distillation: {
      noise: random<Tensor4D>(1, LATENTS, LATENTS, 4),
      timestep: TIMESTEP,
      negativeText: random<Tensor3D>(1, TOKENS, TEXT_WIDTH),
    },
    alignment: { tags: [tags], classes: [tags.map((_, i) => i)], labels: [{ size: [SIZE, SIZE], labels }] },
  };
  const optimizer = adamW(groupsOf(trainableTensors(unet)));
  return async () => {
    const { terms, gradients } = await scrStep(model, batch, { step: 500, checkpointing: true });
    await update(optimizer, gradients, 1);
    return [scalar(terms.loss)];
  };
}

/** A whole step of stage 2 with the criterion of all nine layers on 150 classes. */
async function segRow(): Promise<() => Promise<Tensor[]>> {
  const base = unetParams(randomParams(SEED), parseUnetConfig(config('unet')));
  const unet = trainableUnet(await addSegLora(base, { seed: SEED }));
  const head = trainable(rassHeadParams(randomParams(SEED), mask2FormerHeadConfig(150)), () => true);
  const model = { vae: vaeEncoderParams(randomParams(SEED), parseVaeConfig(config('vae'))), unet, ...head };
  const targets: MaskTargets[] = [semanticTargets({ width: SIZE, height: SIZE, data: stripes(10) }, { classes: 150 })];
  const batch = {
    image: random<Tensor4D>(1, SIZE, SIZE, 3),
    text: random<Tensor3D>(1, TOKENS, TEXT_WIDTH),
    targets,
  };
  const optimizer = adamW(groupsOf(segVariables(model)));
  let step = 0;
  return async () => {
    const { terms, gradients } = await segStep(model, batch, { checkpointing: true, criterion: { points: step++ } });
    await update(optimizer, gradients, 0.01);
    return [scalar(terms.loss)];
  };
}

/** Whole training steps by the names that main.ts gives them. */
export const trainingRows: Readonly<Record<string, Row>> = { 'scr-step': scrRow, 'seg-step': segRow };
