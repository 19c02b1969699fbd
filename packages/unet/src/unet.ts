import { type Conv2d, conv2d, type GroupNorm, type ParamSource } from '@rass/nn';
import {
  add,
  concat,
  mul,
  reshape,
  sub,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';
import { activate, activatedNorm } from './activation.ts';
import { type Block, blocksParams, downBlock, midBlock, upBlock } from './blocks.ts';
import { type ClassEmbedding, type ClassLabels, classEmbedding, classEmbeddingParams } from './class-embedding.ts';
import type { UnetConfig } from './config.ts';
import { attentionNames, checkNames, tapNames } from './names.ts';
import { type Pass, tap } from './pass.ts';
import {
  type Timestep,
  type TimestepEmbedding,
  timestepEmbedding,
  timestepEmbeddingParams,
  timestepSinusoid,
} from './time-embedding.ts';

/** Added to the score of a text token that the mask leaves out. @source diffusers UNet2DConditionModel.forward */
const MASKED = -10_000;

/** The parameters of a UNet. */
export interface Unet {
  readonly config: UnetConfig;
  readonly convIn: Conv2d;
  readonly timeEmbedding: TimestepEmbedding;
  readonly classEmbedding?: ClassEmbedding;
  readonly downBlocks: readonly Block[];
  readonly midBlock?: Block;
  readonly upBlocks: readonly Block[];
  readonly normOut: GroupNorm;
  readonly convOut: Conv2d;
}

export interface UnetInputs {
  /** Noisy latents. [B, H, W, in channels], of any height and width */
  sample_BHWC: Tensor4D;
  timestep: Timestep;
  /** What the text encoder made of the prompts. [B, T, D] */
  text_BTD: Tensor3D;
  /** 1 for text tokens to attend to, 0 for others; default all. [B, T] */
  textMask_BT?: Tensor2D;
  /** For the models that have a class embedding. */
  classLabels?: ClassLabels;
  /** Feature maps to hand out, by name: see tapNames. */
  taps?: readonly string[];
  /** Attentions whose probabilities to hand out, by name: see attentionNames. */
  attention?: readonly string[];
  /** In training, compute each block again in the backward pass instead of keeping what it made: about a quarter more time
   * for much less memory. */
  checkpointing?: boolean;
}

/** A type, not an interface: only those pass through tidy's types. */
export type UnetResult = {
  /** What the model predicts: noise, velocity or the clean sample, as it was trained. [B, H, W, out channels] */
  readonly sample: Tensor4D;
  /** The feature maps asked for. [B, h, w, C] each, see levelSize */
  readonly taps: Readonly<Record<string, Tensor4D>>;
  /** The attention probabilities asked for. [B, N, L, T or L] each, rows sum to 1 */
  readonly attention: Readonly<Record<string, Tensor4D>>;
};

/** Asks the source for every layer by diffusers' own path. @source diffusers UNet2DConditionModel */
export function unetParams(from: ParamSource, config: UnetConfig): Unet {
  const { time } = config;
  const width = config.downBlocks[0].channels;
  const same = (kernel: number) => ({ kernel, padding: Math.floor((kernel - 1) / 2) });
  return {
    config,
    convIn: from.at('conv_in').conv2d(config.inChannels, width, same(config.convInKernel)),
    timeEmbedding: timestepEmbeddingParams(from.at('time_embedding'), time.sinusoid, time.width),
    classEmbedding: config.classes && classEmbeddingParams(from.at('class_embedding'), config.classes, time),
    ...blocksParams(from, config),
    normOut: from.at('conv_norm_out').groupNorm(width, { groups: config.normGroups, epsilon: config.normEpsilon }),
    convOut: from.at('conv_out').conv2d(width, config.outChannels, same(config.convOutKernel)),
  };
}

function checkInputs({ config }: Unet, inputs: UnetInputs): void {
  const { sample_BHWC, text_BTD, textMask_BT, taps = [], attention = [] } = inputs;
  const [B, , , C] = sample_BHWC.shape;
  if (C !== config.inChannels) {
    throw new Error(
      `unet: the sample is [B, H, W, ${config.inChannels}]; got [${sample_BHWC.shape}]; images are channels-last here`,
    );
  }
  const [textBatch, T] = text_BTD.shape;
  if (textBatch !== B) {
    throw new Error(`unet: one text for each sample; got ${textBatch} texts and ${B} samples; tile the shorter one`);
  }
  if (textMask_BT !== undefined && (textMask_BT.shape[0] !== B || textMask_BT.shape[1] !== T)) {
    throw new Error(`unet: the text mask is [${B}, ${T}] like the text; got [${textMask_BT.shape}]; mask each token`);
  }
  checkNames('taps', taps, tapNames(config).map(nameOf), 'tapNames(config)'); // biome-ignore format: one a line
  const known = attentionNames(config, { cross: true, self: true }).map(nameOf);
  checkNames('attentions', attention, known, 'attentionNames(config, { self: true })');
}

const nameOf = ({ name }: { name: string }): string => name;

/** @shape [B, W], or [B, 2 W] where the class embedding goes beside it */
function embeddings(p: Unet, { timestep, classLabels, sample_BHWC }: UnetInputs): Tensor2D {
  const { config } = p;
  const { time, activation } = config;
  const batch = sample_BHWC.shape[0];
  const inner = timestepEmbedding(p.timeEmbedding, timestepSinusoid(timestep, batch, time), activation);
  const time_BW = time.postActivation === undefined ? inner : activate(time.postActivation, inner);
  if ((p.classEmbedding === undefined) !== (classLabels === undefined)) {
    throw new Error(
      p.classEmbedding === undefined
        ? 'unet: this model has no class embedding; got classLabels; leave them out'
        : 'unet: this model has a class embedding; got no classLabels; give one for each sample',
    );
  }
  if (p.classEmbedding === undefined || classLabels === undefined) return time_BW;
  const class_BW = classEmbedding(p.classEmbedding, classLabels, batch, config);
  return config.classesConcatenated ? concat([time_BW, class_BW], 1) : add(time_BW, class_BW);
}

/** The residual blocks activate the embedding themselves, all alike; it is done once here. */
function makePass(p: Unet, inputs: UnetInputs): Pass {
  const { text_BTD, textMask_BT, taps = [], attention = [], checkpointing = false } = inputs;
  const { config } = p;
  const sum_BW = embeddings(p, inputs);
  const whole_BW = config.time.activation === undefined ? sum_BW : activate(config.time.activation, sum_BW);
  const [B, T] = text_BTD.shape;
  return {
    time: activate(config.activation, whole_BW),
    text: text_BTD,
    textBias: textMask_BT && (reshape(mul(sub(1, textMask_BT), MASKED), [B, 1, 1, T]) as Tensor4D),
    wanted: new Set([...taps, ...attention]),
    checkpointing,
  };
}

function chosen(names: readonly string[] = [], seen: Readonly<Record<string, Tensor>>): Record<string, Tensor4D> {
  return Object.fromEntries(names.map((name) => [name, seen[name] as Tensor4D]));
}

/** Predicts the noise (or what the model was trained for) in latents at a timestep, under a text.
 * @shape sample [B, H, W, C], text [B, T, D] -> sample [B, H, W, O], taps and attention as asked for
 * @throws when shapes or names do not fit the model @source diffusers UNet2DConditionModel.forward */
export function unet(p: Unet, inputs: UnetInputs): UnetResult {
  checkInputs(p, inputs);
  return tidy(() => {
    const { config } = p;
    const pass = makePass(p, inputs);
    const { sample_BHWC } = inputs;
    let x = conv2d(p.convIn, config.centerInputSample ? sub(mul(sample_BHWC, 2), 1) : sample_BHWC);
    let seen = tap(pass, 'conv_in', x);
    const skips = [x];
    for (const block of p.downBlocks) {
      const down = downBlock(block, x, pass);
      x = down.x;
      seen = { ...seen, ...down.seen };
      skips.push(...down.skips);
    }
    if (p.midBlock !== undefined) {
      const mid = midBlock(p.midBlock, x, pass);
      x = mid.x;
      seen = { ...seen, ...mid.seen };
    }
    for (const block of p.upBlocks) {
      const taken = skips.splice(-block.resnets.length).reverse();
      // Odd sizes lose a row on the way down: the next skip says how many there were.
      const [, H, W] = (skips.at(-1) ?? x).shape;
      const up = upBlock(block, x, taken, [H, W], pass);
      x = up.x;
      seen = { ...seen, ...up.seen };
    }
    const sample = conv2d(p.convOut, activatedNorm(p.normOut, x, config.activation));
    return { sample, taps: chosen(inputs.taps, seen), attention: chosen(inputs.attention, seen) };
  });
}
