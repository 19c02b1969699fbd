import { gelu, silu } from '@rass/kernels';
import { type GroupNorm, groupNorm as normalize } from '@rass/nn';
import { mul, relu, softplus, type Tensor, tanh } from '@tensorflow/tfjs-core';

export type Activation = 'silu' | 'gelu' | 'relu' | 'mish';

/** @shape any -> same @source diffusers get_activation */
export function activate<T extends Tensor>(name: Activation, x: T): T {
  if (name === 'silu') return silu(x);
  if (name === 'gelu') return gelu(x);
  return name === 'relu' ? relu(x) : mul(x, tanh(softplus(x)));
}

/** Group normalisation and an activation; SiLU goes into the same pass. @shape x [B, H, W, C] -> same */
export function activatedNorm<T extends Tensor>(p: GroupNorm, x: T, activation: Activation): T {
  return activation === 'silu' ? normalize(p, x, 'silu') : activate(activation, normalize(p, x));
}
