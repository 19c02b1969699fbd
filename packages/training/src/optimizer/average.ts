import {
  add,
  clone,
  dispose,
  mul,
  scalar,
  sub,
  type Tensor,
  tidy,
  type Variable,
  variable,
} from '@tensorflow/tfjs-core';
import { restoredCount, type Stateful } from '../stateful.ts';

export interface AverageOptions {
  /** How much of the average stays at an update; default 0.9999. */
  readonly decay?: number;
  /** Forget faster at first: min(decay, (1 + n) / (10 + n)) at the update after the n-th. */
  readonly warmUp?: boolean;
}

/** A running mean of variables (EMA), which often judges better than the variables themselves. */
export interface ExponentialAverage extends Stateful {
  /** Moves the average towards the variables. The first update copies them. */
  update(): void;
  /** Runs with the averages in the variables, and puts their own values back, also after an error. Meanwhile neither
   * update nor another such run is allowed, and the average's own tensors hold the variables' values. */
  during<T>(run: () => Promise<T> | T): Promise<T>;
  /** Frees the averages. The variables stay. */
  dispose(): void;
}

/** Exchanges the values of two variables; no number is copied. */
function exchange(a: Variable, b: Variable): void {
  const before = clone(a);
  a.assign(b);
  b.assign(before);
  before.dispose();
}

/** The running mean of variables. State: one tensor under each key.
 * @throws on a decay outside [0, 1]
 * @source torch.optim.swa_utils.get_ema_multi_avg_fn; the warm-up as diffusers' EMAModel */
export function exponentialAverage(
  variables: Readonly<Record<string, Variable>>,
  { decay = 0.9999, warmUp = false }: AverageOptions = {},
): ExponentialAverage {
  if (!(decay >= 0 && decay <= 1)) {
    throw new Error(`exponentialAverage: decay is from 0 to 1; got ${decay}; 0.9999 is usual`);
  }
  const keys = Object.keys(variables);
  const tensors = Object.fromEntries(keys.map((key) => [key, variable(variables[key], false)]));
  let updates = 0;
  let isOut = false;
  const checkIn = (act: string): void => {
    if (!isOut) return;
    throw new Error(
      `exponentialAverage: ${act} needs the variables' own values; they hold the averages; await during()`,
    );
  };
  const swap = (): void => {
    for (const key of keys) exchange(variables[key], tensors[key]);
    isOut = !isOut;
  };
  return {
    tensors,
    get numbers() {
      checkIn('saving');
      return { updates };
    },
    restoreNumbers(numbers) {
      updates = restoredCount('exponentialAverage', 'updates', numbers);
    },
    update() {
      checkIn('an update');
      const kept = updates === 0 ? 0 : warmUp ? Math.min(decay, (1 + updates) / (10 + updates)) : decay;
      updates += 1;
      tidy(() => {
        const share = scalar(1 - kept);
        for (const key of keys) {
          if (kept === 0) tensors[key].assign(variables[key]);
          else
            tensors[key].assign(tidy(() => add(tensors[key], mul(sub(variables[key], tensors[key]), share)) as Tensor));
        }
      });
    },
    async during(run) {
      checkIn('another during()');
      swap();
      try {
        return await run();
      } finally {
        swap();
      }
    },
    dispose: () => dispose(tensors),
  };
}
