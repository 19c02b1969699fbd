import type { Attention, Conv2d, Embedding, LayerNorm, Linear, Parameter, ParamSource } from '@rass/nn';
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import type { Mask2FormerHeadConfig } from '../config.ts';
import { kaiming, xavier } from '../initial.ts';
import { LEVELS } from '../pixel-decoder/params.ts';

/** Attention whose checkpoint keeps the projections of queries, keys and values in one tensor. @source torch.nn.MultiheadAttention */
export interface FusedAttention {
  /** [3 D, D] */
  readonly projections: Parameter<Tensor2D>;
  /** [3 D] */
  readonly biases: Parameter<Tensor1D>;
  readonly out: Linear;
  readonly heads: number;
}

/** One layer: masked attention to the pixels, attention among the queries, a feed-forward network. */
export interface DecoderLayer {
  readonly crossAttention: FusedAttention;
  readonly crossAttentionNorm: LayerNorm;
  readonly selfAttention: Attention;
  readonly selfAttentionNorm: LayerNorm;
  readonly inner: Linear;
  readonly outer: Linear;
  readonly finalNorm: LayerNorm;
}

/** The parameters of the masked-attention decoder. */
export interface MaskedDecoder {
  /** Of each level, where its width is not the queries'. */
  readonly inputProjections: readonly Conv2d[];
  readonly levelEmbedding: Embedding;
  readonly queryPositions: Embedding;
  readonly queryFeatures: Embedding;
  readonly layers: readonly DecoderLayer[];
  readonly norm: LayerNorm;
  /** Three layers, from a query to its mask embedding. */
  readonly maskEmbedder: readonly Linear[];
  /** Of transformers' names the only one outside the decoder: `class_predictor`. */
  readonly classPredictor: Linear;
  readonly activation: Mask2FormerHeadConfig['activation'];
  readonly preNorm: boolean;
}

/** Where a checkpoint keeps the decoder. */
interface DecoderSources {
  /** `model.transformer_module` */
  readonly transformer: ParamSource;
  /** `class_predictor` */
  readonly classes: ParamSource;
}

function fusedAttention(from: ParamSource, width: number, heads: number): FusedAttention {
  const { weight, bias } = xavier(width, 3 * width);
  return {
    projections: from.at('in_proj_weight').parameter<Tensor2D>([3 * width, width], weight),
    biases: from.at('in_proj_bias').parameter<Tensor1D>([3 * width], bias),
    out: from.at('out_proj').linear(width, width, { init: xavier(width, width) }),
    heads,
  };
}

function layerParams(from: ParamSource, c: Mask2FormerHeadConfig): DecoderLayer {
  const attention = from.at('self_attn');
  // Upstream has the three in one weight, whose rows count in its initialisation.
  const projection = { init: xavier(c.hiddenDim, 3 * c.hiddenDim) };
  const inner = { init: { weight: xavier(c.hiddenDim, c.feedforwardDim).weight } };
  return {
    crossAttention: fusedAttention(from.at('cross_attn'), c.hiddenDim, c.heads),
    crossAttentionNorm: from.at('cross_attn_layer_norm').layerNorm(c.hiddenDim),
    selfAttention: {
      q: attention.at('q_proj').linear(c.hiddenDim, c.hiddenDim, projection),
      k: attention.at('k_proj').linear(c.hiddenDim, c.hiddenDim, projection),
      v: attention.at('v_proj').linear(c.hiddenDim, c.hiddenDim, projection),
      out: attention.at('out_proj').linear(c.hiddenDim, c.hiddenDim, { init: xavier(c.hiddenDim, c.hiddenDim) }),
      heads: c.heads,
    },
    selfAttentionNorm: from.at('self_attn_layer_norm').layerNorm(c.hiddenDim),
    inner: from.at('fc1').linear(c.hiddenDim, c.feedforwardDim, inner),
    outer: from.at('fc2').linear(c.feedforwardDim, c.hiddenDim, inner),
    finalNorm: from.at('final_layer_norm').layerNorm(c.hiddenDim),
  };
}

/** The parameters of the masked-attention decoder, by Hugging Face's names. @source transformers Mask2FormerTransformerModule */
export function maskedDecoderParams({ transformer, classes }: DecoderSources, c: Mask2FormerHeadConfig): MaskedDecoder {
  const decoder = transformer.at('decoder');
  const project = c.featureSize !== c.hiddenDim || c.enforceInputProjection;
  const widths = [c.hiddenDim, c.hiddenDim, c.maskFeatureSize];
  return {
    inputProjections: Array.from({ length: project ? LEVELS : 0 }, (_, i) =>
      transformer
        .at('input_projections')
        .at(i)
        .conv2d(c.featureSize, c.hiddenDim, { kernel: 1, init: kaiming(c.featureSize) }),
    ),
    levelEmbedding: transformer.at('level_embed').embedding(LEVELS, c.hiddenDim),
    queryPositions: transformer.at('queries_embedder').embedding(c.queries, c.hiddenDim),
    queryFeatures: transformer.at('queries_features').embedding(c.queries, c.hiddenDim),
    layers: Array.from({ length: c.decoderLayers }, (_, i) => layerParams(decoder.at('layers').at(i), c)),
    norm: decoder.at('layernorm').layerNorm(c.hiddenDim),
    maskEmbedder: widths.map((outputs, i) =>
      decoder.at('mask_predictor.mask_embedder').at(i).at(0).linear(c.hiddenDim, outputs),
    ),
    classPredictor: classes.linear(c.hiddenDim, c.classes + 1),
    activation: c.activation,
    preNorm: c.preNorm,
  };
}
