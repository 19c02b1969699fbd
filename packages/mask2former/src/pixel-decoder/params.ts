import type { Conv2d, GroupNorm, LayerInit, LayerNorm, Linear, Parameter, ParamSource } from '@rass/nn';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { PyramidChannels } from '../backbones/pyramid.ts';
import type { Mask2FormerHeadConfig } from '../config.ts';
import { kaiming, xavier } from '../initial.ts';

/** A convolution, `<path>.0`, and its group norm, `<path>.1`. */
export interface ConvNorm {
  readonly conv: Conv2d;
  readonly norm: GroupNorm;
}

/** One layer of the pixel decoder: deformable attention and a feed-forward network, each before a norm. */
export interface DeformableLayer {
  readonly samplingOffsets: Linear;
  readonly attentionWeights: Linear;
  readonly value: Linear;
  readonly out: Linear;
  readonly attentionNorm: LayerNorm;
  readonly inner: Linear;
  readonly outer: Linear;
  readonly finalNorm: LayerNorm;
  readonly heads: number;
}

/** The parameters of the pixel decoder (MSDeformAttn). */
export interface PixelDecoder {
  /** Of res5, res4 and res3. */
  readonly inputProjections: readonly ConvNorm[];
  /** [3, C], of res5, res4 and res3 */
  readonly levelEmbedding: Parameter<Tensor2D>;
  readonly layers: readonly DeformableLayer[];
  /** From res2 to the decoder's width. */
  readonly lateral: ConvNorm;
  readonly output: ConvNorm;
  readonly maskProjection: Conv2d;
}

/** Levels that the deformable attention works on: strides 32, 16 and 8. */
export const LEVELS = 3;
/** Points that each head samples of each level. @source transformers Mask2FormerPixelDecoderEncoderLayer */
const POINTS = 4;
/** @source transformers Mask2FormerPixelDecoder */
const NORM_GROUPS = 32;
const ZERO: LayerInit = { weight: { kind: 'constant', value: 0 }, bias: { kind: 'constant', value: 0 } };

/** The sampling points' offsets at first: each head looks in its own direction, its points 1, 2, 3 and 4 pixels away.
 * @source Deformable DETR, arXiv 2010.04159, A.4; transformers Mask2FormerPreTrainedModel._init_weights */
function initialOffsets(heads: number): Float32Array {
  const values = new Float32Array(heads * LEVELS * POINTS * 2);
  for (let head = 0; head < heads; head++) {
    const angle = (head * 2 * Math.PI) / heads;
    const longest = Math.max(Math.abs(Math.cos(angle)), Math.abs(Math.sin(angle)));
    for (let point = 0; point < LEVELS * POINTS; point++) {
      const away = (point % POINTS) + 1;
      values[(head * LEVELS * POINTS + point) * 2] = (Math.cos(angle) / longest) * away;
      values[(head * LEVELS * POINTS + point) * 2 + 1] = (Math.sin(angle) / longest) * away;
    }
  }
  return values;
}

function layerParams(from: ParamSource, c: Mask2FormerHeadConfig): DeformableLayer {
  const attention = from.at('self_attn');
  const samples = c.heads * LEVELS * POINTS;
  const offsets: LayerInit = { ...ZERO, bias: { kind: 'values', values: initialOffsets(c.heads) } };
  const square = { init: xavier(c.featureSize, c.featureSize) };
  return {
    samplingOffsets: attention.at('sampling_offsets').linear(c.featureSize, samples * 2, { init: offsets }),
    attentionWeights: attention.at('attention_weights').linear(c.featureSize, samples, { init: ZERO }),
    value: attention.at('value_proj').linear(c.featureSize, c.featureSize, square),
    out: attention.at('output_proj').linear(c.featureSize, c.featureSize, square),
    attentionNorm: from.at('self_attn_layer_norm').layerNorm(c.featureSize),
    inner: from.at('fc1').linear(c.featureSize, c.encoderFeedforwardDim),
    outer: from.at('fc2').linear(c.encoderFeedforwardDim, c.featureSize),
    finalNorm: from.at('final_layer_norm').layerNorm(c.featureSize),
    heads: c.heads,
  };
}

/** A step of the feature pyramid, without a bias. */
function convNorm(from: ParamSource, inputs: number, outputs: number, spec: { kernel?: number } = {}): ConvNorm {
  const { kernel = 1 } = spec;
  const init = kaiming(inputs * kernel * kernel);
  return {
    conv: from.at(0).conv2d(inputs, outputs, { kernel, padding: (kernel - 1) / 2, bias: false, init }),
    norm: from.at(1).groupNorm(outputs, { groups: NORM_GROUPS }),
  };
}

function inputProjection(from: ParamSource, inputs: number, outputs: number): ConvNorm {
  return {
    conv: from.at(0).conv2d(inputs, outputs, { kernel: 1, init: xavier(inputs, outputs) }),
    norm: from.at(1).groupNorm(outputs, { groups: NORM_GROUPS }),
  };
}

/** The parameters of the pixel decoder, by Hugging Face's names below `model.pixel_level_module.decoder`.
 * @source transformers Mask2FormerPixelDecoder */
export function pixelDecoderParams(
  from: ParamSource,
  c: Mask2FormerHeadConfig,
  channels: PyramidChannels,
): PixelDecoder {
  const inputs = [channels.res5, channels.res4, channels.res3];
  const embedding = { kind: 'normal', deviation: 1 } as const;
  return {
    inputProjections: inputs.map((count, i) =>
      inputProjection(from.at('input_projections').at(i), count, c.featureSize),
    ),
    levelEmbedding: from.at('level_embed').parameter<Tensor2D>([LEVELS, c.featureSize], embedding),
    layers: Array.from({ length: c.encoderLayers }, (_, i) => layerParams(from.at('encoder.layers').at(i), c)),
    lateral: convNorm(from.at('adapter_1'), channels.res2, c.featureSize),
    output: convNorm(from.at('layer_1'), c.featureSize, c.featureSize, { kernel: 3 }),
    maskProjection: from
      .at('mask_projection')
      .conv2d(c.featureSize, c.maskFeatureSize, { kernel: 1, init: kaiming(c.featureSize) }),
  };
}
