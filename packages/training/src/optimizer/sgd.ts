import { add, mul, sub } from '@tensorflow/tfjs-core';
import { type Optimizer, optimizerOf, type UpdateRule } from './optimizer.ts';
import type { ParameterGroup } from './parameter-groups.ts';

export interface SgdOptions {
  /** The share of the last move that goes on; default 0. */
  readonly momentum?: number;
  /** Looks ahead along the move before it is made. */
  readonly nesterov?: boolean;
}

type Factor = 'rate' | 'decay' | 'momentum';

function sgdRule(momentum: number, nesterov: boolean): UpdateRule<'momentum', Factor> {
  return {
    name: 'sgd',
    slots: momentum === 0 ? [] : ['momentum'],
    factors: (_, rate, decay) => ({ rate, decay, momentum }),
    update(value, gradient, slots, by) {
      const slope = add(gradient, mul(value, by.decay));
      if (momentum === 0) return { value: sub(value, mul(slope, by.rate)), slots };
      const move = add(mul(slots.momentum, by.momentum), slope);
      const step = nesterov ? add(slope, mul(move, by.momentum)) : move;
      return { value: sub(value, mul(step, by.rate)), slots: { momentum: move } };
    },
  };
}

/** Stochastic gradient descent. Weight decay is added to the gradient. State: `momentum/<key>`, where there is
 * momentum.
 * @throws on a momentum outside [0, 1), and on Nesterov's without one
 * @source as torch.optim.SGD */
export function sgd(groups: readonly ParameterGroup[], { momentum = 0, nesterov = false }: SgdOptions = {}): Optimizer {
  if (!(momentum >= 0 && momentum < 1)) {
    throw new Error(`sgd: momentum is at least 0 and less than 1; got ${momentum}; 0.9 is usual`);
  }
  if (nesterov && momentum === 0) throw new Error('sgd: nesterov needs momentum; got 0; give one, such as 0.9');
  return optimizerOf(sgdRule(momentum, nesterov), groups);
}
