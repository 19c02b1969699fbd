import * as kernels from '@rass/kernels';
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import type { Conv2d, Embedding, GroupNorm, LayerNorm, Linear } from './leaf.ts';
import { tableRows } from './table-lookup.ts';

/** @shape x [..., I] -> [..., O] @throws when the widths differ @source torch.nn.Linear */
export function linear<T extends Tensor>(p: Linear, x: T): T {
  return named(p.path, () => kernels.linear(x, p.weight, p.bias));
}

/** @shape x [B, H, W, I] -> [B, H', W', O] @throws when the channels differ @source torch.nn.Conv2d */
export function conv2d(p: Conv2d, x_BHWC: Tensor4D): Tensor4D {
  return named(p.path, () => kernels.conv2d(x_BHWC, p.weight, { bias: p.bias, stride: p.stride, padding: p.padding }));
}

/** @shape x [B, ..., C] -> same @throws when the channels differ @source torch.nn.GroupNorm */
export function groupNorm<T extends Tensor>(p: GroupNorm, x: T, activation?: 'silu'): T {
  return named(p.path, () =>
    kernels.groupNorm(x, p.weight, p.bias, { groups: p.groups, epsilon: p.epsilon, activation }),
  );
}

/** @shape x [..., C] -> same @throws when the widths differ @source torch.nn.LayerNorm */
export function layerNorm<T extends Tensor>(p: LayerNorm, x: T): T {
  return named(p.path, () => kernels.layerNorm(x, p.weight, p.bias, p.epsilon));
}

/** Rows of the table by number. @shape ids [...] int32 in [0, V) -> [..., C] @source torch.nn.Embedding */
export function embedding(p: Embedding, ids: Tensor): Tensor {
  return named(p.path, () => tableRows(p.weight, ids));
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
