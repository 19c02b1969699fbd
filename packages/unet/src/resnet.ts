import { type Conv2d, conv2d, type GroupNorm, groupNorm, type Linear, linear, type ParamSource } from '@rass/nn';
import { add, div, mul, reshape, split, type Tensor2D, type Tensor4D } from '@tensorflow/tfjs-core';
import { type Activation, activate, activatedNorm } from './activation.ts';
import type { UnetConfig } from './config.ts';

/** A residual block of two convolutions, told the time in between. */
export interface Resnet {
  readonly path: string;
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  readonly timeProjection: Linear;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  /** 1 x 1, where the channels change. */
  readonly shortcut?: Conv2d;
  readonly activation: Activation;
  readonly timeScales: boolean;
  readonly outputScale: number;
}

/** @source diffusers ResnetBlock2D */
export function resnetParams(
  from: ParamSource,
  inputs: number,
  outputs: number,
  config: UnetConfig,
  outputScale = 1,
): Resnet {
  const norm = { groups: config.normGroups, epsilon: config.normEpsilon };
  const timeWidth = (config.classesConcatenated ? 2 : 1) * config.time.width;
  return {
    path: from.path,
    norm1: from.at('norm1').groupNorm(inputs, norm),
    conv1: from.at('conv1').conv2d(inputs, outputs, { padding: 1 }),
    timeProjection: from.at('time_emb_proj').linear(timeWidth, config.timeScales ? 2 * outputs : outputs),
    norm2: from.at('norm2').groupNorm(outputs, norm),
    conv2: from.at('conv2').conv2d(outputs, outputs, { padding: 1 }),
    shortcut: inputs === outputs ? undefined : from.at('conv_shortcut').conv2d(inputs, outputs, { kernel: 1 }),
    activation: config.activation,
    timeScales: config.timeScales,
    outputScale,
  };
}

/** @shape x [B, H, W, I], time [B, W] already activated -> [B, H, W, C] @source diffusers ResnetBlock2D.forward */
export function resnet(p: Resnet, x_BHWI: Tensor4D, time_BW: Tensor2D): Tensor4D {
  let h_BHWC = conv2d(p.conv1, activatedNorm(p.norm1, x_BHWI, p.activation));
  const time = linear(p.timeProjection, time_BW);
  const time_B11T = reshape(time, [time.shape[0], 1, 1, time.shape[1]]) as Tensor4D;
  if (p.timeScales) {
    const [scale, shift] = split(time_B11T, 2, 3);
    h_BHWC = activate(p.activation, add(mul(groupNorm(p.norm2, h_BHWC), add(scale, 1)), shift));
  } else {
    h_BHWC = activatedNorm(p.norm2, add(h_BHWC, time_B11T), p.activation);
  }
  const straight_BHWC = p.shortcut === undefined ? x_BHWI : conv2d(p.shortcut, x_BHWI);
  const sum = add(straight_BHWC, conv2d(p.conv2, h_BHWC)) as Tensor4D;
  return p.outputScale === 1 ? sum : div(sum, p.outputScale);
}
