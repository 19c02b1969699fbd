import { type FeatureLevel, multiScaleDeformableAttention, resize } from '@rass/kernels';
import { conv2d, groupNorm, layerNorm, linear } from '@rass/nn';
import {
  add,
  concat,
  mul,
  relu,
  reshape,
  slice,
  softmax,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tensor,
} from '@tensorflow/tfjs-core';
import type { FeaturePyramid } from '../backbones/pyramid.ts';
import { sinePositionEmbedding } from '../position-embedding.ts';
import { tidied } from '../tidied.ts';
import { type ConvNorm, type DeformableLayer, LEVELS, type PixelDecoder } from './params.ts';

/** What the masked-attention decoder works on. */
export interface PixelDecoderOutput {
  /** [B, H, W, M] at stride 4: a query's mask is its embedding times these. */
  readonly maskFeatures: Tensor4D;
  /** [B, h, w, C] at strides 32, 16 and 8 */
  readonly levels: readonly [Tensor4D, Tensor4D, Tensor4D];
}

/** What every layer's sampling has in common. */
interface Sampling {
  readonly levels: readonly FeatureLevel[];
  /** [1, L, 1, 2], each token's own place, x and y in [0, 1] */
  readonly reference: Tensor;
  /** [1, 1, N G P, 2], one pixel of the level that each point samples */
  readonly pixel: Tensor;
  /** [1, L, C] */
  readonly positions: Tensor3D;
}

const convNorm = (p: ConvNorm, x_BHWC: Tensor4D): Tensor4D => groupNorm(p.norm, conv2d(p.conv, x_BHWC));

/** The centres of all pixels of all levels. @shape [1, L, 1, 2], x and y in [0, 1] */
function referencePoints(levels: readonly FeatureLevel[]): Tensor {
  const points = levels.flatMap(({ rows, columns }) =>
    Array.from({ length: rows * columns }, (_, i) => [
      ((i % columns) + 0.5) / columns,
      (Math.floor(i / columns) + 0.5) / rows,
    ]),
  );
  return tensor(Float32Array.from(points.flat()), [1, points.length, 1, 2]);
}

/** @shape [1, 1, N G P, 2], in parts of the level's width and height */
function pixelSizes(levels: readonly FeatureLevel[], heads: number, points: number): Tensor {
  const ofHead = levels.flatMap(({ rows, columns }) => Array.from({ length: points }, () => [1 / columns, 1 / rows]));
  const sizes = Array.from({ length: heads }, () => ofHead).flat(2);
  return tensor(Float32Array.from(sizes), [1, 1, sizes.length / 2, 2]);
}

function deformableAttention(p: DeformableLayer, x_BLC: Tensor3D, sampling: Sampling): Tensor3D {
  const [B, L, C] = x_BLC.shape;
  const N = p.heads;
  const placed_BLC = add(x_BLC, sampling.positions) as Tensor3D;
  const offsets = linear(p.samplingOffsets, placed_BLC);
  const samples = offsets.shape[2] / 2 / N;
  const locations = add(mul(reshape(offsets, [B, L, N * samples, 2]), sampling.pixel), sampling.reference);
  const weights = softmax(reshape(linear(p.attentionWeights, placed_BLC), [B, L, N, samples]));
  const value = reshape(linear(p.value, x_BLC), [B, L, N, C / N]) as Tensor4D;
  const out = multiScaleDeformableAttention(
    value,
    sampling.levels,
    reshape(locations, [B, L, N, samples, 2]),
    weights as Tensor4D,
  );
  return linear(p.out, out);
}

function deformableLayer(p: DeformableLayer, x_BLC: Tensor3D, sampling: Sampling): Tensor3D {
  return tidied(() => {
    const attended = layerNorm(p.attentionNorm, add(x_BLC, deformableAttention(p, x_BLC, sampling)));
    const fed = linear(p.outer, relu(linear(p.inner, attended)));
    return layerNorm(p.finalNorm, add(attended, fed));
  });
}

/** One row for each pixel of the levels. @shape [B, h, w, C] each -> [B, L, C] */
function tokens(levels_BHWC: readonly Tensor4D[]): Tensor3D {
  return concat(
    levels_BHWC.map((x) => reshape(x, [x.shape[0], x.shape[1] * x.shape[2], x.shape[3]]) as Tensor3D),
    1,
  );
}

/** The sine positions of each level plus the level's own embedding. @shape [1, L, C] */
function positionsOf(p: PixelDecoder, levels: readonly FeatureLevel[]): Tensor3D {
  const channels = p.levelEmbedding.value.shape[1];
  return concat(
    levels.map(({ rows, columns }, i) => {
      const ofLevel = reshape(slice(p.levelEmbedding.value, [i, 0], [1, channels]), [1, 1, channels]);
      return add(sinePositionEmbedding(rows, columns, channels), ofLevel) as Tensor3D;
    }),
    1,
  );
}

/** @shape x [B, L, C] -> [B, h, w, C] for each level */
function splitLevels(x_BLC: Tensor3D, levels: readonly FeatureLevel[]): Tensor4D[] {
  const [B, , C] = x_BLC.shape;
  let start = 0;
  return levels.map(({ rows, columns }) => {
    const part = slice(x_BLC, [0, start, 0], [B, rows * columns, C]);
    start += rows * columns;
    return reshape(part, [B, rows, columns, C]) as Tensor4D;
  });
}

function samplingOf(p: PixelDecoder, levels: readonly FeatureLevel[]): Sampling {
  const [{ heads, attentionWeights }] = p.layers;
  const points = attentionWeights.weight.shape[0] / heads / LEVELS;
  return {
    levels,
    reference: referencePoints(levels),
    pixel: pixelSizes(levels, heads, points),
    positions: positionsOf(p, levels),
  };
}

/** Makes of a backbone's features what the decoder needs: deformable attention over strides 32, 16 and 8, and one step of a
 * feature pyramid to stride 4. @shape see FeaturePyramid and PixelDecoderOutput
 * @source Deformable DETR, arXiv 2010.04159; transformers Mask2FormerPixelDecoder; golden/mask2former/model */
export function pixelDecoder(p: PixelDecoder, features: FeaturePyramid): PixelDecoderOutput {
  return tidied(() => {
    const inputs = [features.res5, features.res4, features.res3].map((x, i) => convNorm(p.inputProjections[i], x));
    const levels = inputs.map(({ shape }) => ({ rows: shape[1], columns: shape[2] }));
    const sampling = samplingOf(p, levels);
    const encoded = p.layers.reduce((x, layer) => deformableLayer(layer, x, sampling), tokens(inputs));
    const [res5, res4, res3] = splitLevels(encoded, levels);
    const [, rows, columns] = features.res2.shape;
    const above = resize(res3, [rows, columns], 'bilinear');
    const res2 = relu(convNorm(p.output, add(convNorm(p.lateral, features.res2), above) as Tensor4D));
    return { maskFeatures: conv2d(p.maskProjection, res2), levels: [res5, res4, res3] };
  });
}
