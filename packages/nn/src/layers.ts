import * as kernels from '@rass/kernels';
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import type { Conv2d, Embedding, GroupNorm, Layer, LayerNorm, Linear } from './leaf.ts';
import { tableRows } from './table-lookup.ts';

/** @shape x [..., I] -> [..., O] @throws when the widths differ @source torch.nn.Linear */
export function linear<T extends Tensor>(p: Linear, x: T): T {
  return adapted(p, x, (layer, input) => kernels.linear(input, layer.weight, layer.bias));
}

/** @shape x [B, H, W, I] -> [B, H', W', O] @throws when the channels differ @source torch.nn.Conv2d */
export function conv2d(p: Conv2d, x_BHWC: Tensor4D): Tensor4D {
  return adapted(p, x_BHWC, ({ weight, bias, stride, padding }, input_BHWC) =>
    kernels.conv2d(input_BHWC, weight, { bias, stride, padding }),
  );
}

/** @shape x [B, ..., C] -> same @throws when the channels differ @source torch.nn.GroupNorm */
export function groupNorm<T extends Tensor>(p: GroupNorm, x: T, activation?: 'silu'): T {
  return adapted(p, x, ({ weight, bias, groups, epsilon }, input) =>
    kernels.groupNorm(input, weight, bias, { groups, epsilon, activation }),
  );
}

/** @shape x [..., C] -> same @throws when the widths differ @source torch.nn.LayerNorm */
export function layerNorm<T extends Tensor>(p: LayerNorm, x: T): T {
  return adapted(p, x, ({ weight, bias, epsilon }, input) => kernels.layerNorm(input, weight, bias, epsilon));
}

/** Rows of the table by number. @shape ids [...] int32 in [0, V) -> [..., C] @source torch.nn.Embedding */
export function embedding(p: Embedding, ids: Tensor): Tensor {
  return adapted(p, ids, ({ weight }, numbers) => tableRows(weight, numbers));
}

/** The one layer without an adapter that gives the same: itself where it has none. For code that reads a layer's weights
 * instead of calling it. What it makes belongs to the caller's tidy. */
export function plainLayer<L extends Layer>(p: L): L {
  return p.adapter === undefined ? p : (p.adapter.plain(p.adapter.params, p) as L);
}

/** Runs a layer, by its adapter where it has one. */
function adapted<L extends Layer, T extends Tensor>(p: L, x: T, run: (layer: L, x: T) => T): T {
  return named(p.path, () => {
    if (p.adapter === undefined) return run(p, x);
    const { params, forward } = p.adapter;
    return forward(params, p, x, (layer, input) => run(layer as L, input as T)) as T;
  });
}

/** Runs a layer and puts its path before the message of what it throws. */
function named<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Error && !error.message.startsWith(path)) error.message = `${path}: ${error.message}`;
    throw error;
  }
}
