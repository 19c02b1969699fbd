import { silu } from '@rass/kernels';
import { type Conv2d, conv2d, type GroupNorm, groupNorm, type LayerInit, type ParamSource } from '@rass/nn';
import { add, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { tidied } from '../tidied.ts';
import type { FeaturePyramid, PyramidChannels } from './pyramid.ts';

/** A small residual network, to train from nothing. */
export interface ConvBackboneConfig {
  /** Of the levels at strides 4, 8, 16 and 32; default 32, 64, 128, 256. */
  readonly channels?: readonly [number, number, number, number];
  /** Residual blocks of each level; default 2 each. */
  readonly depths?: readonly [number, number, number, number];
  /** Of the group norms; default 8. */
  readonly groups?: number;
  readonly inputChannels?: number;
}

interface ConvNorm {
  readonly conv: Conv2d;
  readonly norm: GroupNorm;
}

interface Block {
  readonly first: ConvNorm;
  readonly second: ConvNorm;
  /** Where the block changes the size or the channels. */
  readonly shortcut?: ConvNorm;
}

/** The backbone's parameters. */
export interface ConvBackbone {
  readonly stem: readonly [ConvNorm, ConvNorm];
  readonly stages: readonly (readonly Block[])[];
}

interface ConvSpec {
  readonly kernel: number;
  readonly stride: number;
  readonly groups: number;
}

function convNorm(from: ParamSource, name: string, inputs: number, outputs: number, spec: ConvSpec): ConvNorm {
  const { kernel, stride, groups } = spec;
  // He's initialisation by the fan out, as torchvision's residual networks.
  const deviation = Math.sqrt(2 / (outputs * kernel * kernel));
  const init: LayerInit = { weight: { kind: 'normal', deviation } };
  const padding = (kernel - 1) / 2;
  return {
    conv: from.at(`conv${name}`).conv2d(inputs, outputs, { kernel, stride, padding, bias: false, init }),
    norm: from.at(`norm${name}`).groupNorm(outputs, { groups }),
  };
}

function blockParams(from: ParamSource, inputs: number, outputs: number, stride: number, groups: number): Block {
  return {
    first: convNorm(from, '1', inputs, outputs, { kernel: 3, stride, groups }),
    second: convNorm(from, '2', outputs, outputs, { kernel: 3, stride: 1, groups }),
    shortcut:
      stride === 1 && inputs === outputs
        ? undefined
        : convNorm(from, '_shortcut', inputs, outputs, { kernel: 1, stride, groups }),
  };
}

/** The parameters of the small backbone. @throws when channels do not divide into the groups */
export function convBackboneParams(from: ParamSource, config: ConvBackboneConfig = {}): ConvBackbone {
  const { channels = [32, 64, 128, 256], depths = [2, 2, 2, 2], groups = 8, inputChannels = 3 } = config;
  const odd = channels.find((count) => count % groups !== 0 || count <= 0);
  if (odd !== undefined) {
    throw new Error(`convBackbone: channels divide into ${groups} groups; got ${odd}; change them or the groups`);
  }
  const half = { kernel: 3, stride: 2, groups };
  const stem = from.at('stem');
  return {
    stem: [convNorm(stem, '1', inputChannels, channels[0], half), convNorm(stem, '2', channels[0], channels[0], half)],
    stages: depths.map((depth, stage) =>
      Array.from({ length: depth }, (_, i) => {
        const first = i === 0 && stage > 0;
        const path = from.at('stages').at(stage).at('blocks').at(i);
        return blockParams(path, channels[first ? stage - 1 : stage], channels[stage], first ? 2 : 1, groups);
      }),
    ),
  };
}

/** How many channels each level has. */
export function convBackboneChannels({ channels = [32, 64, 128, 256] }: ConvBackboneConfig = {}): PyramidChannels {
  const [res2, res3, res4, res5] = channels;
  return { res2, res3, res4, res5 };
}

const run = (p: ConvNorm, x: Tensor4D, activation?: 'silu'): Tensor4D =>
  groupNorm(p.norm, conv2d(p.conv, x), activation);

function block(p: Block, x: Tensor4D): Tensor4D {
  return tidy(() => {
    const changed = run(p.second, run(p.first, x, 'silu'));
    return silu(add(changed, p.shortcut === undefined ? x : run(p.shortcut, x)) as Tensor4D);
  });
}

/** The features of the small backbone. @shape pixels [B, H, W, 3] -> res2..res5 at strides 4, 8, 16, 32, sizes rounded up
 * @source golden/mask2former/conv-backbone, a network of our own */
export function convBackbone(p: ConvBackbone, pixels_BHWC: Tensor4D): FeaturePyramid {
  return tidied(() => {
    let x = p.stem.reduce((input, each) => run(each, input, 'silu'), pixels_BHWC);
    const [res2, res3, res4, res5] = p.stages.map((blocks) => {
      x = blocks.reduce((input, each) => block(each, input), x);
      return x;
    });
    return { res2, res3, res4, res5 };
  });
}
