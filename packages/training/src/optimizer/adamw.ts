import { add, div, mul, sqrt, square, sub } from '@tensorflow/tfjs-core';
import { type Optimizer, optimizerOf, type UpdateRule } from './optimizer.ts';
import type { ParameterGroup } from './parameter-groups.ts';

export interface AdamWOptions {
  /** How slowly the means of the gradients and of their squares forget; default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Default 1e-8. */
  readonly epsilon?: number;
}

type Slot = 'm' | 'v';
type Factor = 'keepM' | 'addM' | 'keepV' | 'addV' | 'rate' | 'epsilon' | 'decay';

function adamWRule(betas: readonly [number, number], epsilon: number): UpdateRule<Slot, Factor> {
  const [beta1, beta2] = betas;
  return {
    name: 'adamW',
    slots: ['m', 'v'],
    factors(steps, learningRate, weightDecay) {
      // sqrt(v / c) + epsilon = (sqrt(v) + epsilon sqrt(c)) / sqrt(c): one kernel less for each variable.
      const correction = Math.sqrt(1 - beta2 ** steps);
      return {
        keepM: beta1,
        addM: 1 - beta1,
        keepV: beta2,
        addV: 1 - beta2,
        rate: (learningRate * correction) / (1 - beta1 ** steps),
        epsilon: epsilon * correction,
        decay: 1 - learningRate * weightDecay,
      };
    },
    update(value, gradient, slots, by) {
      const m = add(mul(slots.m, by.keepM), mul(gradient, by.addM));
      const v = add(mul(slots.v, by.keepV), mul(square(gradient), by.addV));
      const change = mul(div(m, add(sqrt(v), by.epsilon)), by.rate);
      return { value: sub(mul(value, by.decay), change), slots: { m, v } };
    },
  };
}

/** Adam with weight decay that is no part of the gradient: a variable first shrinks by learning rate times decay, then
 * moves by the mean of its gradients over the root of the mean of their squares, both corrected for their start at
 * zero. State: `m/<key>`, `v/<key>`. @throws on a beta outside [0, 1), or a negative epsilon @source Loshchilov, Hutter
 * (arXiv 1711.05101); as torch.optim.AdamW */
export function adamW(
  groups: readonly ParameterGroup[],
  { betas = [0.9, 0.999], epsilon = 1e-8 }: AdamWOptions = {},
): Optimizer {
  if (!betas.every((beta) => beta >= 0 && beta < 1)) {
    throw new Error(
      `adamW: betas are two numbers of at least 0 and less than 1; got ${betas.join(', ')}; see its defaults`,
    );
  }
  if (!(epsilon >= 0)) throw new Error(`adamW: epsilon is at least 0; got ${epsilon}; 1e-8 is usual`);
  return optimizerOf(adamWRule(betas, epsilon), groups);
}
