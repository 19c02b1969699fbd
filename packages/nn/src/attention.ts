import { attention as attentionOp, attentionWithProbabilities } from '@rass/kernels';
import type { Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
import { linear } from './layers.ts';
import type { Linear } from './leaf.ts';

/** The four projections of multi-head attention. A checkpoint's names for them differ, so the model asks for each. */
export interface Attention {
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly out: Linear;
  readonly heads: number;
}

export interface AttentionInputs {
  /** What the keys and values come from; default x itself. [B, S, D] */
  context_BSD?: Tensor3D;
  causal?: boolean;
  /** Added to the scores. [B or 1, 1, L or 1, S] */
  mask?: Tensor4D;
  /** Also return the probabilities, at the cost of the whole [L, S] matrix. */
  probabilities?: boolean;
}

export interface AttentionResult {
  /** [B, L, C] */
  readonly out: Tensor3D;
  /** [B, N, L, S], rows sum to 1 */
  readonly probabilities?: Tensor4D;
}

/** Multi-head attention of x over the context, or over itself.
 * @shape x [B, L, C], context [B, S, D] -> out [B, L, C], probabilities [B, N, L, S] @source diffusers Attention */
export function multiHeadAttention(p: Attention, x_BLC: Tensor3D, inputs: AttentionInputs = {}): AttentionResult {
  const { context_BSD = x_BLC, causal, mask, probabilities } = inputs;
  const q = linear(p.q, x_BLC);
  const k = linear(p.k, context_BSD);
  const v = linear(p.v, context_BSD);
  const options = { heads: p.heads, causal, mask };
  if (!probabilities) return { out: linear(p.out, attentionOp(q, k, v, options)) };
  const both = attentionWithProbabilities(q, k, v, options);
  return { out: linear(p.out, both.out), probabilities: both.probabilities };
}
