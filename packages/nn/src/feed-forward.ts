import { geglu } from '@rass/kernels';
import type { Tensor3D } from '@tensorflow/tfjs-core';
import { linear } from './layers.ts';
import type { Linear } from './leaf.ts';
import type { ParamSource } from './param-source.ts';

/** A transformer's feed-forward network with a gated GELU. */
export interface GegluFeedForward {
  /** To values and gates, [2 x hidden, width]. */
  readonly gated: Linear;
  readonly out: Linear;
}

/** @source diffusers FeedForward: `net.0.proj` and `net.2`; the hidden width is four times the width */
export function gegluFeedForwardParams(from: ParamSource, width: number, hidden = 4 * width): GegluFeedForward {
  return { gated: from.at('net.0.proj').linear(width, 2 * hidden), out: from.at('net.2').linear(hidden, width) };
}

/** @shape [B, L, C] -> [B, L, C] @source diffusers FeedForward(activation_fn='geglu') */
export function gegluFeedForward(p: GegluFeedForward, x_BLC: Tensor3D): Tensor3D {
  return linear(p.out, geglu(linear(p.gated, x_BLC)));
}
