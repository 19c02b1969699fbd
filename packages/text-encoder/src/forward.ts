import { gelu, quickGelu } from '@rass/kernels';
import { embedding, layerNorm, linear, multiHeadAttention, plainLayer } from '@rass/nn';
import {
  add,
  cast,
  equal,
  expandDims,
  max,
  mul,
  range,
  reshape,
  slice,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import type { ClipText, ClipTextLayer } from './params.ts';

/** Rows of tokens as numbers, row by row: what a tokenizer's encodeBatch returns. */
export interface TokenRows {
  /** [B, T] */
  readonly shape: readonly [number, number];
  readonly ids: ArrayLike<number>;
}

export interface ClipTextOptions {
  /** 1 for tokens, 0 for padding that no token looks at. Stable Diffusion uses none. [B, T] */
  attentionMask?: Tensor2D | ArrayLike<number>;
  /** How many of the last layers to leave out ("clip skip"); the final norm follows all the same. Default 0. */
  skipLayers?: number;
  /** Also return what goes into the first layer and what comes out of each. */
  hiddenStates?: boolean;
  /** Also return each layer's attention probabilities. */
  attention?: boolean;
}

/** A type and not an interface: tidy takes plain objects of tensors. */
export type ClipTextResult = {
  /** [B, T, D], after the final norm */
  readonly lastHiddenState: Tensor3D;
  /** [B, D], the last hidden state at the end token */
  readonly pooled: Tensor2D;
  /** [B, P], the pooled output projected, where the model has that layer */
  readonly embedding?: Tensor2D;
  /** One more than there are layers that ran, each [B, T, D], before the final norm */
  readonly hiddenStates?: Tensor3D[];
  /** One for each layer that ran, [B, N, T, T], rows sum to 1 */
  readonly attention?: Tensor4D[];
};

/** In place of minus infinity. A row with nothing to look at then looks at everything alike, as in the reference. */
const MASKED = -1e30;

const activations = { gelu, quick_gelu: quickGelu } as const;

function isTensor(value: Tensor | object): value is Tensor {
  return 'dataId' in value;
}

function idsTensor(p: ClipText, tokens: Tensor2D | TokenRows): Tensor2D {
  if (isTensor(tokens)) return tokens;
  const count = p.tokens.weight.shape[0];
  const ids = Array.from(tokens.ids);
  const wrong = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < count));
  if (wrong >= 0) {
    throw new Error(
      `clipText: token ids are whole numbers from 0 to ${count - 1}; got ${ids[wrong]}; use the model's own tokenizer`,
    );
  }
  return tensor2d(Int32Array.from(ids), [...tokens.shape], 'int32');
}

/** Tokens as vectors with their positions: what goes into the first layer.
 * @shape tokens [B, T] -> [B, T, D] @throws when rows are longer than the model has positions
 * @source transformers CLIPTextEmbeddings */
export function clipTextEmbeddings(p: ClipText, tokens: Tensor2D | TokenRows): Tensor3D {
  const length = tokens.shape[1];
  const [positions, width] = p.positions.weight.shape;
  if (length > positions) {
    throw new Error(`clipText: rows have at most ${positions} tokens; got ${length}; truncate them`);
  }
  return tidy(() =>
    add(
      embedding(p.tokens, idsTensor(p, tokens)) as Tensor3D,
      slice(plainLayer(p.positions).weight, [0, 0], [length, width]),
    ),
  );
}

/** What is added to the scores: nothing where a token may look, MASKED where it may not. @shape [B, T] -> [B, 1, T, T] */
function paddingMask(mask: Tensor2D | ArrayLike<number>, batch: number, length: number): Tensor4D {
  const size = isTensor(mask) ? mask.size : mask.length;
  if (size !== batch * length) {
    throw new Error(`clipText: attentionMask is [${batch}, ${length}]; got ${size} values; give one for each token`);
  }
  const kept_BT: Tensor = isTensor(mask) ? cast(mask, 'float32') : tensor2d(Float32Array.from(mask), [batch, length]);
  const earlier = Float32Array.from({ length: length * length }, (_, i) =>
    i % length <= Math.floor(i / length) ? 1 : 0,
  );
  const allowed = mul(
    reshape(kept_BT, [batch, 1, 1, length]),
    reshape(tensor2d(earlier, [length, length]), [1, 1, length, length]),
  );
  return mul(sub(1, allowed), MASKED) as Tensor4D;
}

/** A type, not an interface: only those pass through tidy's types. */
type LayerOutput = {
  out: Tensor3D;
  probabilities?: Tensor4D;
};

function layer(
  p: ClipTextLayer,
  x_BTD: Tensor3D,
  act: ClipText['activation'],
  mask: Tensor4D | undefined,
  wantsProbabilities: boolean,
): LayerOutput {
  const attended = multiHeadAttention(p.attention, layerNorm(p.attentionNorm, x_BTD), {
    causal: mask === undefined,
    mask,
    probabilities: wantsProbabilities,
  });
  const x = add(x_BTD, attended.out);
  const inner = activations[act](linear(p.inner, layerNorm(p.feedForwardNorm, x)));
  return { out: add(x, linear(p.outer, inner)), probabilities: attended.probabilities };
}

/** 1 at each row's first end token, at its first token where it has none, and 0 elsewhere. @shape [B, T] -> [B, T, 1] */
function endPlaces(ids_BT: Tensor2D, endToken: ClipText['endToken']): Tensor3D {
  const length = ids_BT.shape[1];
  const ids = cast(ids_BT, 'float32');
  const isEnd = cast(equal(ids, endToken === 'largest' ? max(ids, 1, true) : endToken), 'float32');
  // Earlier places score higher and end tokens higher still, so that exactly one place has the highest score: where
  // several were equal, backends would disagree about which one argMax means.
  const score = sub(mul(isEnd, 2 * length), range(0, length, 1, 'float32'));
  return expandDims(cast(equal(score, max(score, 1, true)), 'float32'), 2) as Tensor3D;
}

function layersToRun(p: ClipText, skip: number): readonly ClipTextLayer[] {
  if (!Number.isInteger(skip) || skip < 0 || skip > p.layers.length) {
    throw new Error(`clipText: skipLayers is from 0 to the ${p.layers.length} layers; got ${skip}; leave fewer out`);
  }
  return p.layers.slice(0, p.layers.length - skip);
}

/** The text model from the first layer on, for embeddings that no token has, as textual inversion learns them. The
 * tokens say where the end token is. @shape x [B, T, D], tokens [B, T] @source transformers CLIPTextModel.forward */
export function clipTextFromEmbeddings(
  p: ClipText,
  x_BTD: Tensor3D,
  tokens: Tensor2D | TokenRows,
  options: ClipTextOptions = {},
): ClipTextResult {
  const { attentionMask, skipLayers = 0, hiddenStates = false, attention = false } = options;
  const layers = layersToRun(p, skipLayers);
  const [batch, length] = x_BTD.shape;
  return tidy(() => {
    const mask = attentionMask === undefined ? undefined : paddingMask(attentionMask, batch, length);
    // A clone of the caller's own tensor, so that everything that is returned is disposed of alike.
    const states: Tensor3D[] = hiddenStates ? [x_BTD.clone()] : [];
    const maps: Tensor4D[] = [];
    let x = x_BTD;
    for (const each of layers) {
      // A tidy for each layer: what is inside it would add up to a tenth of the weights.
      const { out, probabilities } = tidy(() => layer(each, x, p.activation, mask, attention));
      x = out;
      if (hiddenStates) states.push(x);
      if (probabilities !== undefined) maps.push(probabilities);
    }
    const lastHiddenState = layerNorm(p.finalNorm, x);
    const pooled: Tensor2D = sum(mul(lastHiddenState, endPlaces(idsTensor(p, tokens), p.endToken)), 1);
    return {
      lastHiddenState,
      pooled,
      ...(hiddenStates ? { hiddenStates: states } : {}),
      ...(attention ? { attention: maps } : {}),
      ...(p.projection === undefined ? {} : { embedding: linear(p.projection, pooled) }),
    };
  });
}

/** CLIP's text model: token rows to hidden states and a pooled output. Each token sees itself and earlier ones.
 * @shape tokens [B, T] int32 -> lastHiddenState [B, T, D], pooled [B, D], embedding [B, P]
 * @throws on too long rows, unknown ids and too many skipped layers
 * @source transformers CLIPTextModel, CLIPTextModelWithProjection; golden/text-encoder */
export function clipText(p: ClipText, tokens: Tensor2D | TokenRows, options: ClipTextOptions = {}): ClipTextResult {
  return tidy(() => clipTextFromEmbeddings(p, clipTextEmbeddings(p, tokens), tokens, options));
}
