import { attention } from '@rass/kernels';
import { type Linear, linear } from '@rass/nn';
import {
  add,
  concat,
  div,
  exp,
  matMul,
  max,
  maximum,
  mul,
  reshape,
  slice,
  sub,
  sum,
  type Tensor3D,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';
import type { AttentionBlock } from '../params.ts';
import type { Work } from '../work.ts';
import { type Bands, freeAbove, takeRows } from './bands.ts';
import type { BandContext } from './context.ts';
import { freeStatistics, holdStatistics, normalized, type Statistics } from './statistics.ts';

/** Keys and values of some of the pixels. [1, S, C] each */
interface Keyed {
  readonly keys: Tensor3D;
  readonly values: Tensor3D;
}

/** Softmax attention over keys that come in parts: each part's sum is rescaled to the largest score so far, so that the
 * result is that of one softmax over all. @shape q [1, L, C] -> [1, L, C]
 * @source Milakov and Gimelshein, Online normalizer calculation for softmax, arXiv 1805.02867 */
export function attendInParts(q_BLC: Tensor3D, parts: readonly Keyed[]): Tensor3D {
  const scale = 1 / Math.sqrt(q_BLC.shape[2]);
  let state: { out: Tensor3D; total: Tensor3D; largest: Tensor3D } | undefined;
  for (const { keys, values } of parts) {
    const before = state;
    state = tidy(() => {
      const scores: Tensor3D = mul(matMul(q_BLC, keys, false, true), scale);
      const here: Tensor3D = max(scores, -1, true);
      const largest: Tensor3D = before === undefined ? here : maximum(before.largest, here);
      const weights: Tensor3D = exp(sub(scores, largest));
      const out: Tensor3D = matMul(weights, values);
      const total: Tensor3D = sum(weights, -1, true);
      if (before === undefined) return { out, total, largest };
      const fade = exp(sub(before.largest, largest));
      return { out: add(out, mul(before.out, fade)), total: add(total, mul(before.total, fade)), largest };
    });
  }
  const { out, total } = state as { out: Tensor3D; total: Tensor3D };
  return div(out, total);
}

function tokensOf(rows_BHWC: Tensor4D): Tensor3D {
  const [, height, width, channels] = rows_BHWC.shape;
  return reshape(rows_BHWC, [1, height * width, channels]);
}

/** Keys and values of every pixel, in as few parts as the limit allows. */
function keyParts(x: Bands, p: AttentionBlock, s: Statistics, { held, maxTensorBytes }: BandContext): Keyed[] {
  const project = (layer: Linear, from: number, to: number): Tensor3D =>
    tidy(() => linear(layer, tokensOf(normalized(p.norm, s, takeRows(x, from, to)))));
  const rowBytes = 4 * x.width * x.channels;
  const size = Math.max(1, Math.min(x.height, Math.floor(maxTensorBytes / rowBytes)));
  const count = Math.ceil(x.height / size);
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [i * size, Math.min(x.height, (i + 1) * size)];
    const { k, v } = p.attention;
    return { keys: held.hold(project(k, from, to)), values: held.hold(project(v, from, to)) };
  });
}

/** Some pixels' attention over all of them, `atATime` queries after each other. @shape [1, L, C] -> [1, L, C] */
function attend(queries: Tensor3D, parts: readonly Keyed[], atATime: number): Tensor3D {
  const length = queries.shape[1];
  const blocks = Array.from({ length: Math.ceil(length / atATime) }, (_, i) =>
    tidy(() => {
      const from = i * atATime;
      const q = slice(queries, [0, from, 0], [1, Math.min(atATime, length - from), -1]);
      if (parts.length > 1) return attendInParts(q, parts);
      return attention(q, parts[0].keys, parts[0].values, { heads: 1 });
    }),
  );
  return blocks.length === 1 ? blocks[0] : concat(blocks, 1);
}

/** The attention block of the middle: every pixel over all pixels of the image, some rows of queries at a time. */
export function* attendBands(x: Bands, p: AttentionBlock, c: BandContext): Work<Bands> {
  const { held, maxTensorBytes, at } = c;
  const statistics = holdStatistics(x, p.norm, held);
  const parts = keyParts(x, p, statistics, c);
  const mostKeys = Math.max(...parts.map(({ keys }) => keys.shape[1]));
  const queriesAtATime = Math.max(1, Math.floor(maxTensorBytes / (4 * mostKeys)));
  const result: Bands = { ...x, strips: [] };
  const size = Math.max(1, Math.floor(maxTensorBytes / (4 * x.width * x.channels)));
  for (let from = 0; from < x.height; from += size) {
    const to = Math.min(x.height, from + size);
    const made = tidy((): Tensor4D => {
      const rows = takeRows(x, from, to);
      const queries = linear(p.attention.q, tokensOf(normalized(p.norm, statistics, rows)));
      const out = linear(p.attention.out, attend(queries, parts, queriesAtATime));
      return add(rows, reshape(out, rows.shape));
    });
    result.strips.push({ from, rows: held.hold(made) });
    freeAbove(x, to, held);
    const tokens = (to - from) * x.width;
    yield { cost: tokens * (4 * x.channels ** 2 + 2 * x.height * x.width * x.channels), at, made };
  }
  for (const { keys, values } of parts) {
    held.free(keys);
    held.free(values);
  }
  freeStatistics(statistics, held);
  return result;
}
