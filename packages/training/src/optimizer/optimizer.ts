import { closest } from '@rass/nn';
import {
  dispose,
  mul,
  type Scalar,
  scalar,
  type Tensor,
  tidy,
  util,
  type Variable,
  variable,
  zeros,
} from '@tensorflow/tfjs-core';
import { restoredCount, type Stateful } from '../stateful.ts';
import { groupedVariables, type ParameterGroup } from './parameter-groups.ts';

export interface OptimizerStep {
  /** Of this step, by the schedule; each group takes it times its factor. */
  readonly learningRate: number;
  /** Every gradient is multiplied by it first: see gradientNorm. Default 1. */
  readonly gradientScale?: number;
}

/** Changes variables by their gradients, in place. */
export interface Optimizer extends Stateful {
  readonly groups: readonly ParameterGroup[];
  /** One update. The gradients stay the caller's. @throws when there is not one for each variable, of its shape */
  step(gradients: Readonly<Record<string, Tensor>>, options: OptimizerStep): void;
  /** Frees the state. The variables stay. */
  dispose(): void;
}

/** How one kind of optimiser changes one variable. */
export interface UpdateRule<Slot extends string, Factor extends string> {
  readonly name: string;
  /** The tensors that it keeps for each variable, of its shape, zeros at first. */
  readonly slots: readonly Slot[];
  /** The numbers of update number `steps`, from 1, of a group. */
  factors(steps: number, learningRate: number, weightDecay: number): Record<Factor, number>;
  /** Of tensors of one shape: the variable's new value, and those of its slots. */
  update(
    value: Tensor,
    gradient: Tensor,
    slots: Readonly<Record<Slot, Tensor>>,
    factors: Readonly<Record<Factor, Scalar>>,
  ): { readonly value: Tensor; readonly slots: Readonly<Record<Slot, Tensor>> };
}

function checkGradients(
  name: string,
  variables: Readonly<Record<string, Variable>>,
  gradients: Readonly<Record<string, Tensor>>,
): void {
  for (const [key, { shape }] of Object.entries(variables)) {
    const gradient = gradients[key];
    if (gradient === undefined) {
      throw new Error(
        `${name}: each variable has a gradient; got none for "${key}"; leave what is not trained out of the groups`,
      );
    }
    if (gradient.dtype !== 'float32' || !util.arraysEqual(gradient.shape, shape)) {
      throw new Error(
        `${name}: a gradient is like its variable, float32 [${shape}]; got ${gradient.dtype} [${gradient.shape}] for ` +
          `"${key}"; take it by this variable`,
      );
    }
  }
  const other = Object.keys(gradients).find((key) => !(key in variables));
  if (other === undefined) return;
  const near = closest(other, Object.keys(variables)).join();
  throw new Error(
    `${name}: each gradient has a variable; got one for "${other}"; closest: ${near}; put it into a group`,
  );
}

function checkStep(name: string, { learningRate, gradientScale = 1 }: OptimizerStep): void {
  if (!(Number.isFinite(learningRate) && learningRate >= 0)) {
    throw new Error(`${name}: a learning rate is a number of at least 0; got ${learningRate}; see to the schedule`);
  }
  if (!Number.isFinite(gradientScale)) {
    throw new Error(`${name}: the scale of gradients is a number; got ${gradientScale}; leave such a step out`);
  }
}

const slotKey = (slot: string, key: string): string => `${slot}/${key}`;

function startSlots(slots: readonly string[], variables: Readonly<Record<string, Variable>>): Record<string, Variable> {
  const started = slots.flatMap((slot) =>
    Object.entries(variables).map(([key, { shape }]) => [
      slotKey(slot, key),
      tidy(() => variable(zeros(shape), false) as Tensor) as Variable,
    ]),
  );
  return Object.fromEntries(started);
}

/** An optimiser by the rule of its kind. */
export function optimizerOf<Slot extends string, Factor extends string>(
  rule: UpdateRule<Slot, Factor>,
  groups: readonly ParameterGroup[],
): Optimizer {
  const variables = groupedVariables(groups);
  const tensors = startSlots(rule.slots, variables);
  let steps = 0;

  function updateVariable(key: string, gradient: Tensor, factors: Readonly<Record<Factor, Scalar>>): void {
    const own = rule.slots.map((slot) => [slot, tensors[slotKey(slot, key)]] as const);
    const before = Object.fromEntries(own) as unknown as Record<Slot, Tensor>;
    const { value, slots } = rule.update(variables[key], gradient, before, factors);
    for (const [slot, kept] of own) kept.assign(slots[slot]);
    variables[key].assign(value);
  }

  return {
    groups,
    tensors,
    get numbers() {
      return { steps };
    },
    restoreNumbers(numbers) {
      steps = restoredCount(rule.name, 'steps', numbers);
    },
    step(gradients, options) {
      checkStep(rule.name, options);
      checkGradients(rule.name, variables, gradients);
      const { learningRate, gradientScale = 1 } = options;
      steps += 1;
      for (const group of groups) {
        tidy(() => {
          const numbers = rule.factors(steps, learningRate * group.learningRateFactor, group.weightDecay);
          // As tensors once for the group: each number would be uploaded for each variable.
          const factors = Object.fromEntries(
            Object.entries<number>(numbers).map(([name, value]) => [name, scalar(value)]),
          ) as Record<Factor, Scalar>;
          const scale = scalar(gradientScale);
          for (const key of Object.keys(group.variables)) {
            tidy(() => {
              const gradient = gradientScale === 1 ? gradients[key] : mul(gradients[key], scale);
              updateVariable(key, gradient, factors);
            });
          }
        });
      }
    },
    dispose: () => dispose(tensors),
  };
}
