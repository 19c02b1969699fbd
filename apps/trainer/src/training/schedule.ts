import { constantSchedule, cosineSchedule, polynomialSchedule, type Schedule, withWarmUp } from '@rass/training';
import type { OptimizerRecipe } from '../recipe/fields.ts';

/** The learning rate of each step of a run. */
export function scheduleOf({ rate, schedule }: OptimizerRecipe, steps: number): Schedule {
  const { kind, warmUp, power } = schedule;
  const base = {
    constant: () => constantSchedule(rate),
    poly: () => polynomialSchedule({ rate, steps, power }),
    cosine: () => cosineSchedule({ rate, steps }),
  }[kind]();
  return warmUp > 0 ? withWarmUp(base, { steps: warmUp }) : base;
}
