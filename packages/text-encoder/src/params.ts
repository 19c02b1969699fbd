import type { Attention, Embedding, LayerNorm, Linear, ParamSource } from '@rass/nn';
import type { ClipTextConfig } from './config.ts';

/** One layer: attention and a feed-forward network, each behind a norm. */
export interface ClipTextLayer {
  readonly attentionNorm: LayerNorm;
  readonly attention: Attention;
  readonly feedForwardNorm: LayerNorm;
  /** To the inner width. */
  readonly inner: Linear;
  readonly outer: Linear;
}

/** A CLIP text model's parameters and what the forward pass needs to know of its configuration. */
export interface ClipText {
  readonly tokens: Embedding;
  readonly positions: Embedding;
  readonly layers: readonly ClipTextLayer[];
  readonly finalNorm: LayerNorm;
  readonly projection?: Linear;
  readonly activation: ClipTextConfig['activation'];
  readonly endToken: ClipTextConfig['endToken'];
}

const TOKEN_TABLE = 'embeddings.token_embedding.weight';
const DEFAULT_PREFIX = 'text_model';
/** @source transformers CLIPPreTrainedModel._init_weights */
const EMBEDDING_INIT = { kind: 'normal', deviation: 0.02 } as const;

function layerParams(from: ParamSource, c: ClipTextConfig): ClipTextLayer {
  const attention = from.at('self_attn');
  const norm = { epsilon: c.normEpsilon };
  return {
    attentionNorm: from.at('layer_norm1').layerNorm(c.width, norm),
    attention: {
      q: attention.at('q_proj').linear(c.width, c.width),
      k: attention.at('k_proj').linear(c.width, c.width),
      v: attention.at('v_proj').linear(c.width, c.width),
      out: attention.at('out_proj').linear(c.width, c.width),
      heads: c.heads,
    },
    feedForwardNorm: from.at('layer_norm2').layerNorm(c.width, norm),
    inner: from.at('mlp.fc1').linear(c.width, c.innerWidth),
    outer: from.at('mlp.fc2').linear(c.innerWidth, c.width),
  };
}

/** A CLIP text model's parameters. Checkpoints keep them under `text_model`; what transformers 5 saves has them at the
 * root, prefix '' (clipTextPrefix tells). The projection stands beside that prefix.
 * @source transformers CLIPTextModel, CLIPTextModelWithProjection */
export function clipTextParams(from: ParamSource, config: ClipTextConfig, prefix: string = DEFAULT_PREFIX): ClipText {
  const text = prefix === '' ? from : from.at(prefix);
  const outside = prefix.split('.').slice(0, -1).join('.');
  const beside = outside === '' ? from : from.at(outside);
  const { width, projectionWidth } = config;
  return {
    tokens: text.at('embeddings.token_embedding').embedding(config.vocabularySize, width, EMBEDDING_INIT),
    positions: text.at('embeddings.position_embedding').embedding(config.positions, width, EMBEDDING_INIT),
    layers: Array.from({ length: config.layers }, (_, i) => layerParams(text.at('encoder.layers').at(i), config)),
    finalNorm: text.at('final_layer_norm').layerNorm(width, { epsilon: config.normEpsilon }),
    projection:
      projectionWidth === undefined
        ? undefined
        : beside.at('text_projection').linear(width, projectionWidth, { bias: false }),
    activation: config.activation,
    endToken: config.endToken,
  };
}

/** Under which prefix a checkpoint keeps its CLIP text model: `text_model`, '' or a longer one, as in files that hold
 * several models. @throws when its keys have none, or several */
export function clipTextPrefix(keys: Iterable<string>): string {
  const found = [...keys].filter((key) => key === TOKEN_TABLE || key.endsWith(`.${TOKEN_TABLE}`));
  if (found.length === 1) return found[0].slice(0, -TOKEN_TABLE.length).replace(/\.$/, '');
  const got = found.length === 0 ? 'none' : found.join(', ');
  throw new Error(`clipText: one key of a checkpoint ends in ${TOKEN_TABLE}; got ${got}; name the prefix yourself`);
}
