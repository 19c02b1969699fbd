import type { Attention, Conv2d, GroupNorm, ParamSource } from '@rass/nn';
import type { VaeConfig } from './config.ts';

export interface Resnet {
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  /** 1x1, where the number of channels changes. */
  readonly shortcut?: Conv2d;
}

export interface AttentionBlock {
  readonly norm: GroupNorm;
  readonly attention: Attention;
}

export interface MidBlock {
  readonly resnets: readonly [Resnet, Resnet];
  readonly attention?: AttentionBlock;
}

export interface DownBlock {
  readonly resnets: readonly Resnet[];
  readonly downsampler?: Conv2d;
}

export interface UpBlock {
  readonly resnets: readonly Resnet[];
  readonly upsampler?: Conv2d;
}

export interface Encoder {
  readonly convIn: Conv2d;
  readonly downBlocks: readonly DownBlock[];
  readonly midBlock: MidBlock;
  readonly normOut: GroupNorm;
  readonly convOut: Conv2d;
}

export interface Decoder {
  readonly convIn: Conv2d;
  readonly midBlock: MidBlock;
  readonly upBlocks: readonly UpBlock[];
  readonly normOut: GroupNorm;
  readonly convOut: Conv2d;
}

/** What vaeEncode needs. */
export interface VaeEncoder {
  readonly config: VaeConfig;
  readonly encoder: Encoder;
  readonly quantConv?: Conv2d;
}

/** What vaeDecode needs. */
export interface VaeDecoder {
  readonly config: VaeConfig;
  readonly decoder: Decoder;
  readonly postQuantConv?: Conv2d;
}

export type Vae = VaeEncoder & VaeDecoder;

/** In Stable Diffusion's autoencoder it is fixed, and not the 1e-5 of PyTorch. @source diffusers Encoder, Decoder */
const NORM_EPSILON = 1e-6;

const normOf = (from: ParamSource, channels: number, c: VaeConfig): GroupNorm =>
  from.groupNorm(channels, { groups: c.normGroups, epsilon: NORM_EPSILON });

function resnetParams(from: ParamSource, inputs: number, outputs: number, c: VaeConfig): Resnet {
  return {
    norm1: normOf(from.at('norm1'), inputs, c),
    conv1: from.at('conv1').conv2d(inputs, outputs, { padding: 1 }),
    norm2: normOf(from.at('norm2'), outputs, c),
    conv2: from.at('conv2').conv2d(outputs, outputs, { padding: 1 }),
    shortcut: inputs === outputs ? undefined : from.at('conv_shortcut').conv2d(inputs, outputs, { kernel: 1 }),
  };
}

function resnetsParams(from: ParamSource, layers: number, inputs: number, outputs: number, c: VaeConfig): Resnet[] {
  return Array.from({ length: layers }, (_, i) => resnetParams(from.at(i), i === 0 ? inputs : outputs, outputs, c));
}

function midBlockParams(from: ParamSource, channels: number, c: VaeConfig): MidBlock {
  const of = from.at('attentions.0');
  // One head as wide as the image: diffusers gives the head's width where it means the number of channels.
  const attention = (): Attention => ({
    q: of.at('to_q').linear(channels, channels),
    k: of.at('to_k').linear(channels, channels),
    v: of.at('to_v').linear(channels, channels),
    out: of.at('to_out.0').linear(channels, channels),
    heads: 1,
  });
  return {
    attention: c.midAttention ? { norm: normOf(of.at('group_norm'), channels, c), attention: attention() } : undefined,
    resnets: [
      resnetParams(from.at('resnets.0'), channels, channels, c),
      resnetParams(from.at('resnets.1'), channels, channels, c),
    ],
  };
}

function encoderParams(from: ParamSource, c: VaeConfig): Encoder {
  const widths = c.blockOutChannels;
  const last = widths[widths.length - 1];
  const downBlock = (i: number): DownBlock => {
    const at = from.at('down_blocks').at(i);
    return {
      resnets: resnetsParams(at.at('resnets'), c.layersPerBlock, widths[Math.max(0, i - 1)], widths[i], c),
      downsampler:
        i === widths.length - 1
          ? undefined
          : at.at('downsamplers.0.conv').conv2d(widths[i], widths[i], {
              stride: 2,
              // Below and to the right only, unlike the UNet's.
              padding: [
                [0, 1],
                [0, 1],
              ],
            }),
    };
  };
  return {
    convIn: from.at('conv_in').conv2d(c.inChannels, widths[0], { padding: 1 }),
    downBlocks: widths.map((_, i) => downBlock(i)),
    midBlock: midBlockParams(from.at('mid_block'), last, c),
    normOut: normOf(from.at('conv_norm_out'), last, c),
    convOut: from.at('conv_out').conv2d(last, 2 * c.latentChannels, { padding: 1 }),
  };
}

function decoderParams(from: ParamSource, c: VaeConfig): Decoder {
  const widths = [...c.blockOutChannels].reverse();
  const upBlock = (i: number): UpBlock => {
    const at = from.at('up_blocks').at(i);
    return {
      resnets: resnetsParams(at.at('resnets'), c.layersPerBlock + 1, widths[Math.max(0, i - 1)], widths[i], c),
      upsampler:
        i === widths.length - 1 ? undefined : at.at('upsamplers.0.conv').conv2d(widths[i], widths[i], { padding: 1 }),
    };
  };
  const last = widths[widths.length - 1];
  return {
    convIn: from.at('conv_in').conv2d(c.latentChannels, widths[0], { padding: 1 }),
    midBlock: midBlockParams(from.at('mid_block'), widths[0], c),
    upBlocks: widths.map((_, i) => upBlock(i)),
    normOut: normOf(from.at('conv_norm_out'), last, c),
    convOut: from.at('conv_out').conv2d(last, c.outChannels, { padding: 1 }),
  };
}

/** The encoding half: leaves under `encoder.` and `quant_conv.`, by diffusers' paths. */
export function vaeEncoderParams(from: ParamSource, config: VaeConfig): VaeEncoder {
  const channels = 2 * config.latentChannels;
  return {
    config,
    encoder: encoderParams(from.at('encoder'), config),
    quantConv: config.quantConv ? from.at('quant_conv').conv2d(channels, channels, { kernel: 1 }) : undefined,
  };
}

/** The decoding half: leaves under `decoder.` and `post_quant_conv.`, by diffusers' paths. */
export function vaeDecoderParams(from: ParamSource, config: VaeConfig): VaeDecoder {
  const channels = config.latentChannels;
  return {
    config,
    decoder: decoderParams(from.at('decoder'), config),
    postQuantConv: config.postQuantConv
      ? from.at('post_quant_conv').conv2d(channels, channels, { kernel: 1 })
      : undefined,
  };
}

/** Both halves, by diffusers' paths. @source diffusers AutoencoderKL */
export function vaeParams(from: ParamSource, config: VaeConfig): Vae {
  return { ...vaeEncoderParams(from, config), ...vaeDecoderParams(from, config) };
}
