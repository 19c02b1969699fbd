import { gelu, silu } from '@rass/kernels';
import { conv2d, layerNorm, linear } from '@rass/nn';
import {
  add,
  concat,
  gather,
  matMul,
  mul,
  pad,
  relu,
  reshape,
  slice,
  softmax,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tensor,
  tensor1d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { tidied } from '../tidied.ts';
import type { FeaturePyramid } from './pyramid.ts';
import type { Swin, SwinBlock, SwinStage } from './swin-params.ts';

const ACTIVATIONS = { gelu, relu, silu };
/** What is added to the score of two patches which the shift has brought together. @source Swin, arXiv 2103.14030, official code */
const APART = -100;

/** Pads at the bottom and the right to multiples. @shape [B, H, W, C] -> [B, H', W', C] */
function padTo(x_BHWC: Tensor4D, multiple: number): Tensor4D {
  const [, H, W] = x_BHWC.shape;
  const [below, right] = [H, W].map((size) => (multiple - (size % multiple)) % multiple);
  if (below === 0 && right === 0) return x_BHWC;
  return pad(x_BHWC, [
    [0, 0],
    [0, below],
    [0, right],
    [0, 0],
  ]);
}

/** Moves everything up and left by `by` pixels; what falls out comes in at the other end. */
function rolled(x_BHWC: Tensor4D, by: number): Tensor4D {
  if (by === 0) return x_BHWC;
  const [B, H, W, C] = x_BHWC.shape;
  const row = ((by % H) + H) % H;
  const column = ((by % W) + W) % W;
  const rows = concat(
    [slice(x_BHWC, [0, row, 0, 0], [B, H - row, W, C]), slice(x_BHWC, [0, 0, 0, 0], [B, row, W, C])],
    1,
  );
  return concat(
    [slice(rows, [0, 0, column, 0], [B, H, W - column, C]), slice(rows, [0, 0, 0, 0], [B, H, column, C])],
    2,
  );
}

/** @shape [B, H, W, C], H and W multiples of w -> [B H/w W/w, w w, C] */
function windows(x_BHWC: Tensor4D, w: number): Tensor3D {
  const [B, H, W, C] = x_BHWC.shape;
  const split = transpose(reshape(x_BHWC, [(B * H) / w, w, W / w, w * C]), [0, 2, 1, 3]);
  return reshape(split, [(((B * H) / w) * W) / w, w * w, C]);
}

/** The inverse of windows. */
function joined(x_ALC: Tensor3D, [B, H, W]: readonly number[], w: number): Tensor4D {
  const C = x_ALC.shape[2];
  const split = transpose(reshape(x_ALC, [(B * H) / w, W / w, w, w * C]), [0, 2, 1, 3]);
  return reshape(split, [B, H, W, C]) as Tensor4D;
}

/** For each pair of a window's patches the row of the bias table. @shape [w^4] */
function biasRows(w: number): Int32Array {
  const rows = new Int32Array(w ** 4);
  for (let query = 0; query < w * w; query++) {
    for (let key = 0; key < w * w; key++) {
      const down = Math.floor(query / w) - Math.floor(key / w) + w - 1;
      const across = (query % w) - (key % w) + w - 1;
      rows[query * w * w + key] = down * (2 * w - 1) + across;
    }
  }
  return rows;
}

/** Keeps apart, in the windows of a shifted map, what does not lie together in the map itself. @shape [1, A, 1, w^4], A windows of an image */
function shiftMask(H: number, W: number, w: number, shift: number): Tensor4D {
  const regionOf = (at: number, size: number): number => (at >= size - w ? 1 : 0) + (at >= size - shift ? 1 : 0);
  const area = w * w;
  const across = W / w;
  const values = new Float32Array(((H * W) / area) * area * area);
  for (let window = 0; window < (H * W) / area; window++) {
    const regions = Array.from({ length: area }, (_, i) => {
      const row = Math.floor(window / across) * w + Math.floor(i / w);
      return regionOf(row, H) * 3 + regionOf((window % across) * w + (i % w), W);
    });
    for (let query = 0; query < area; query++) {
      for (let key = 0; key < area; key++) {
        if (regions[query] !== regions[key]) values[(window * area + query) * area + key] = APART;
      }
    }
  }
  return tensor(values, [1, (H * W) / area, 1, area * area]) as Tensor4D;
}

/** Attention within each window. @shape x [B A, L, C], mask [1, A, 1, L L] -> [B A, L, C] */
function windowAttention(p: SwinBlock, x_ALC: Tensor3D, heads: number, w: number, mask?: Tensor4D): Tensor3D {
  const [A, L, C] = x_ALC.shape;
  const K = C / heads;
  const split = (layer: SwinBlock['q']): Tensor4D =>
    transpose(reshape(linear(layer, x_ALC), [A, L, heads, K]), [0, 2, 1, 3]) as Tensor4D;
  const scores = mul(matMul(split(p.q), split(p.k), false, true), 1 / Math.sqrt(K));
  const bias = transpose(gather(p.positionBias.value, tensor1d(biasRows(w), 'int32')), [1, 0]);
  let biased: Tensor = add(reshape(scores, [A, heads, L * L]), reshape(bias, [1, heads, L * L]));
  if (mask !== undefined) {
    const ofImage = mask.shape[1];
    biased = add(reshape(biased, [A / ofImage, ofImage, heads, L * L]), mask);
  }
  const out = matMul(softmax(reshape(biased, [A, heads, L, L])), split(p.v));
  return linear(p.out, reshape(transpose(out, [0, 2, 1, 3]), [A, L, C]) as Tensor3D);
}

function block(p: SwinBlock, x_BHWC: Tensor4D, { heads }: SwinStage, swin: Swin, shift: number): Tensor4D {
  return tidy(() => {
    const w = swin.windowSize;
    const [B, H, W, C] = x_BHWC.shape;
    const padded = padTo(layerNorm(p.attentionNorm, x_BHWC), w);
    const mask = shift > 0 ? shiftMask(padded.shape[1], padded.shape[2], w, shift) : undefined;
    const attended = windowAttention(p, windows(rolled(padded, shift), w), heads, w, mask);
    const whole = rolled(joined(attended, padded.shape, w), -shift);
    const seen = add(x_BHWC, slice(whole, [0, 0, 0, 0], [B, H, W, C])) as Tensor4D;
    const inner = ACTIVATIONS[swin.activation](linear(p.inner, layerNorm(p.mlpNorm, seen)) as Tensor) as Tensor4D;
    return add(seen, linear(p.outer, inner));
  });
}

/** Four neighbours become one patch of twice the channels. @shape [B, H, W, C] -> [B, ceil(H / 2), ceil(W / 2), 2 C] */
function merge({ norm, reduction }: NonNullable<SwinStage['merging']>, x_BHWC: Tensor4D): Tensor4D {
  return tidy(() => {
    const even = padTo(x_BHWC, 2);
    const [B, H, W, C] = even.shape;
    // [B, H/2, 2, W/2, 2 C]: the row within the pair, then the column; the checkpoints have the column outside.
    const pairs = reshape(even, [(B * H) / 2, 2, W / 2, 2 * C]);
    const part = (row: number, column: number): Tensor =>
      slice(pairs, [0, row, 0, column * C], [(B * H) / 2, 1, W / 2, C]);
    const four = concat([part(0, 0), part(1, 0), part(0, 1), part(1, 1)], 3);
    return linear(reduction, layerNorm(norm, reshape(four, [B, H / 2, W / 2, 4 * C]) as Tensor4D));
  });
}

function checkPixels(p: Swin, { rank, shape }: Tensor): void {
  const channels = p.patches.weight.shape[2];
  if (rank === 4 && shape[3] === channels && shape.every((size) => size > 0)) return;
  throw new Error(`swin: pixels are [B, H, W, ${channels}]; got [${shape}]; preprocess the images`);
}

/** The features of a Swin transformer, of each stage before it is halved, normalised. Any size: edges are padded.
 * @shape pixels [B, H, W, 3], normalised colours -> res2..res5 at strides 4, 8, 16, 32, sizes rounded up
 * @throws when the pixels' shape is another
 * @source Liu et al. 2021, arXiv 2103.14030; transformers SwinBackbone; golden/mask2former/swin */
export function swin(p: Swin, pixels_BHWC: Tensor4D): FeaturePyramid {
  checkPixels(p, pixels_BHWC);
  return tidied(() => {
    let x = layerNorm(p.patchNorm, conv2d(p.patches, padTo(pixels_BHWC, p.patches.stride)));
    const outputs = p.stages.map((stage) => {
      stage.blocks.forEach((each, i) => {
        x = block(each, x, stage, p, i % 2 === 0 ? 0 : Math.floor(p.windowSize / 2));
      });
      const output = layerNorm(stage.outputNorm, x);
      if (stage.merging !== undefined) x = merge(stage.merging, x);
      return output;
    });
    const [res2, res3, res4, res5] = outputs;
    return { res2, res3, res4, res5 };
  });
}
