import type { Conv2d, LayerInit, LayerNorm, Linear, Parameter, ParamSource } from '@rass/nn';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import type { SwinConfig } from './swin-config.ts';

/** One block: attention within windows and a feed-forward network, each behind a norm. */
export interface SwinBlock {
  readonly attentionNorm: LayerNorm;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly out: Linear;
  /** [(2 w - 1)^2, N]: what is added to the scores, by row and column between query and key */
  readonly positionBias: Parameter<Tensor2D>;
  readonly mlpNorm: LayerNorm;
  readonly inner: Linear;
  readonly outer: Linear;
}

/** Blocks at one resolution, what is given out, and the step to the next. */
export interface SwinStage {
  readonly blocks: readonly SwinBlock[];
  readonly heads: number;
  readonly outputNorm: LayerNorm;
  readonly merging?: { readonly norm: LayerNorm; readonly reduction: Linear };
}

/** A Swin transformer's parameters. */
export interface Swin {
  readonly patches: Conv2d;
  readonly patchNorm: LayerNorm;
  readonly stages: readonly SwinStage[];
  readonly windowSize: number;
  readonly activation: SwinConfig['activation'];
}

/** @source transformers SwinConfig.initializer_range */
const WEIGHTS = { kind: 'normal', deviation: 0.02 } as const;
const ZERO = { kind: 'constant', value: 0 } as const;
const INIT: LayerInit = { weight: WEIGHTS, bias: ZERO };

function blockParams(from: ParamSource, c: SwinConfig, width: number, heads: number): SwinBlock {
  const attention = from.at('attention.self');
  const norm = { epsilon: c.normEpsilon };
  const inner = Math.trunc(c.mlpRatio * width);
  const projection = { bias: c.qkvBias, init: INIT };
  return {
    attentionNorm: from.at('layernorm_before').layerNorm(width, norm),
    q: attention.at('query').linear(width, width, projection),
    k: attention.at('key').linear(width, width, projection),
    v: attention.at('value').linear(width, width, projection),
    positionBias: attention
      .at('relative_position_bias_table')
      .parameter<Tensor2D>([(2 * c.windowSize - 1) ** 2, heads], ZERO),
    out: from.at('attention.output.dense').linear(width, width, { init: INIT }),
    mlpNorm: from.at('layernorm_after').layerNorm(width, norm),
    inner: from.at('intermediate.dense').linear(width, inner, { init: INIT }),
    outer: from.at('output.dense').linear(inner, width, { init: INIT }),
  };
}

/** A Swin transformer's parameters, by the names of Hugging Face's files below `model.pixel_level_module.encoder`.
 * @source transformers SwinBackbone */
export function swinParams(from: ParamSource, c: SwinConfig): Swin {
  return {
    patches: from
      .at('embeddings.patch_embeddings.projection')
      .conv2d(c.inputChannels, c.width, { kernel: c.patchSize, stride: c.patchSize, init: INIT }),
    patchNorm: from.at('embeddings.norm').layerNorm(c.width),
    stages: c.depths.map((depth, stage): SwinStage => {
      const layer = from.at('encoder.layers').at(stage);
      const width = c.width * 2 ** stage;
      const heads = c.heads[stage];
      const merging = layer.at('downsample');
      return {
        blocks: Array.from({ length: depth }, (_, i) => blockParams(layer.at('blocks').at(i), c, width, heads)),
        heads,
        outputNorm: from
          .at('hidden_states_norms')
          .at(`stage${stage + 1}`)
          .layerNorm(width),
        merging:
          stage === c.depths.length - 1
            ? undefined
            : {
                norm: merging.at('norm').layerNorm(4 * width),
                reduction: merging.at('reduction').linear(4 * width, 2 * width, { bias: false, init: INIT }),
              },
      };
    }),
    windowSize: c.windowSize,
    activation: c.activation,
  };
}
