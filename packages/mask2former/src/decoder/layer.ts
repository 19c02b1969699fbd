import { attention, gelu, linear as linearOp, silu } from '@rass/kernels';
import { type LayerNorm, layerNorm, linear } from '@rass/nn';
import { add, relu, slice, type Tensor1D, type Tensor2D, type Tensor3D, type Tensor4D } from '@tensorflow/tfjs-core';
import type { Mask2FormerHeadConfig } from '../config.ts';
import type { DecoderLayer, FusedAttention } from './params.ts';

/** What the queries look at. */
export interface Pixels {
  /** [B, S, D] */
  readonly features: Tensor3D;
  /** [1, S, D] */
  readonly positions: Tensor3D;
  /** [B, 1, Q, S], added to the scores: 0 where a query may look */
  readonly mask: Tensor4D;
}

interface LayerOptions {
  readonly activation: Mask2FormerHeadConfig['activation'];
  readonly preNorm: boolean;
}

const ACTIVATIONS = { relu, gelu, silu };

/** The part of a fused projection that makes queries (0), keys (1) or values (2). */
function projected(p: FusedAttention, part: number, x_BLD: Tensor3D): Tensor3D {
  const width = p.projections.value.shape[1];
  const weight = slice(p.projections.value, [part * width, 0], [width, width]) as Tensor2D;
  const bias = slice(p.biases.value, [part * width], [width]) as Tensor1D;
  return linearOp(x_BLD, weight, bias);
}

function crossAttention(p: FusedAttention, x_BQD: Tensor3D, positions_1QD: Tensor3D, pixels: Pixels): Tensor3D {
  const q_BQD = projected(p, 0, add(x_BQD, positions_1QD));
  const k_BSD = projected(p, 1, add(pixels.features, pixels.positions));
  const v_BSD = projected(p, 2, pixels.features);
  return linear(p.out, attention(q_BQD, k_BSD, v_BSD, { heads: p.heads, mask: pixels.mask }));
}

function selfAttention(p: DecoderLayer['selfAttention'], x_BQD: Tensor3D, positions_1QD: Tensor3D): Tensor3D {
  const placed_BQD = add(x_BQD, positions_1QD) as Tensor3D;
  const [q, k, v] = [linear(p.q, placed_BQD), linear(p.k, placed_BQD), linear(p.v, x_BQD)];
  return linear(p.out, attention(q, k, v, { heads: p.heads }));
}

/** Adds a part of the layer to its input, with the norm after the sum or before the part. */
function residual(norm: LayerNorm, preNorm: boolean, x: Tensor3D, part: (x: Tensor3D) => Tensor3D): Tensor3D {
  if (preNorm) return add(x, part(layerNorm(norm, x)));
  return layerNorm(norm, add(x, part(x)) as Tensor3D);
}

/** One layer of the masked-attention decoder. @shape x [B, Q, D], positions [1, Q, D] -> [B, Q, D]
 * @source transformers Mask2FormerMaskedAttentionDecoderLayer */
export function decoderLayer(
  p: DecoderLayer,
  x_BQD: Tensor3D,
  positions_1QD: Tensor3D,
  pixels: Pixels,
  { activation, preNorm }: LayerOptions,
): Tensor3D {
  const act = ACTIVATIONS[activation];
  const looked = residual(p.crossAttentionNorm, preNorm, x_BQD, (x) =>
    crossAttention(p.crossAttention, x, positions_1QD, pixels),
  );
  const talked = residual(p.selfAttentionNorm, preNorm, looked, (x) =>
    selfAttention(p.selfAttention, x, positions_1QD),
  );
  return residual(p.finalNorm, preNorm, talked, (x) => linear(p.outer, act(linear(p.inner, x)) as Tensor3D));
}
