import { detached, resize } from '@rass/kernels';
import { conv2d, layerNorm, linear } from '@rass/nn';
import {
  add,
  cast,
  less,
  matMul,
  min,
  mul,
  relu,
  reshape,
  slice,
  sub,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  tile,
} from '@tensorflow/tfjs-core';
import type { Mask2FormerOutput, Prediction } from '../outputs.ts';
import type { PixelDecoderOutput } from '../pixel-decoder/pixel-decoder.ts';
import { sinePositionEmbedding } from '../position-embedding.ts';
import { tidied } from '../tidied.ts';
import { decoderLayer, type Pixels } from './layer.ts';
import type { MaskedDecoder } from './params.ts';

export interface MaskedDecoderOptions {
  /** Also what each layer before the last predicts, for deep supervision. Default false. */
  readonly auxiliary?: boolean;
}

/** In place of minus infinity, which turns into NaN where a backend computes 0 * mask. */
const HIDDEN = -1e30;

type Level = Omit<Pixels, 'mask'> & {
  /** [B, S, M]: the mask features at this level's size, through which no gradient flows */
  readonly maskFeatures: Tensor3D;
};

const flat = (x_BHWC: Tensor4D): Tensor3D =>
  reshape(x_BHWC, [x_BHWC.shape[0], x_BHWC.shape[1] * x_BHWC.shape[2], x_BHWC.shape[3]]);

function level(p: MaskedDecoder, index: number, x_BHWC: Tensor4D, maskFeatures: Tensor4D): Level {
  const [, rows, columns] = x_BHWC.shape;
  const width = p.queryFeatures.weight.shape[1];
  const projected = p.inputProjections.length === 0 ? x_BHWC : conv2d(p.inputProjections[index], x_BHWC);
  const ofLevel = reshape(slice(p.levelEmbedding.weight, [index, 0], [1, width]), [1, 1, width]);
  return {
    features: add(flat(projected), ofLevel),
    positions: sinePositionEmbedding(rows, columns, width),
    // Resizing is linear: resized features give the resized masks of all queries, at a fraction of the cost.
    maskFeatures: detached(() => flat(resize(maskFeatures, [rows, columns], 'bilinear'))),
  };
}

const maskEmbedding = (p: MaskedDecoder, normed_BQD: Tensor3D): Tensor3D =>
  p.maskEmbedder.reduce((x, layer, i) => (i === 0 ? linear(layer, x) : linear(layer, relu(x))), normed_BQD);

/** Hides from each query the pixels outside of its mask; from a query with an empty mask it hides nothing. */
function attentionMask(embedding_BQM: Tensor3D, { maskFeatures }: Level): Tensor4D {
  return detached(() => {
    const outside = cast(less(matMul(embedding_BQM, maskFeatures, false, true), 0), 'float32');
    const somewhere = sub(1, min(outside, 2, true));
    const [B, Q, S] = outside.shape;
    return reshape(mul(mul(outside, somewhere), HIDDEN), [B, 1, Q, S]) as Tensor4D;
  });
}

function predict(p: MaskedDecoder, normed_BQD: Tensor3D, embedding_BQM: Tensor3D, features_BHWM: Tensor4D): Prediction {
  const [B, H, W] = features_BHWM.shape;
  const masks = matMul(embedding_BQM, flat(features_BHWM), false, true);
  return {
    classQueriesLogits: linear(p.classPredictor, normed_BQD),
    masksQueriesLogits: reshape(masks, [B, normed_BQD.shape[1], H, W]) as Tensor4D,
  };
}

/** Lets the queries look at the pixels, each only where the layer before saw its mask, and predicts a class and a mask of each.
 * @shape see PixelDecoderOutput and Mask2FormerOutput
 * @source Cheng et al. 2022, arXiv 2112.01527; transformers Mask2FormerTransformerModule; golden/mask2former/model */
export function maskedDecoder(
  p: MaskedDecoder,
  { maskFeatures, levels }: PixelDecoderOutput,
  { auxiliary = false }: MaskedDecoderOptions = {},
): Mask2FormerOutput {
  return tidied(() => {
    const seen = levels.map((x, i) => level(p, i, x, maskFeatures));
    const ofBatch = (table: Tensor2D, batch: number): Tensor3D =>
      tile(reshape(table, [1, ...table.shape]) as Tensor3D, [batch, 1, 1]);
    const positions_1QD = ofBatch(p.queryPositions.weight, 1);
    let queries_BQD = ofBatch(p.queryFeatures.weight, maskFeatures.shape[0]);
    const predictions: Prediction[] = [];
    for (let i = 0; i <= p.layers.length; i++) {
      const normed = layerNorm(p.norm, queries_BQD);
      const embedding = maskEmbedding(p, normed);
      const last = i === p.layers.length;
      if (auxiliary || last) predictions.push(predict(p, normed, embedding, maskFeatures));
      if (last) break;
      const pixels = seen[i % seen.length];
      const mask = attentionMask(embedding, pixels);
      queries_BQD = decoderLayer(p.layers[i], queries_BQD, positions_1QD, { ...pixels, mask }, p);
    }
    return { ...predictions[predictions.length - 1], auxiliary: predictions.slice(0, -1) };
  });
}
