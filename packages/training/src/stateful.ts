import type { Variable } from '@tensorflow/tfjs-core';

/** What changes in training beside the weights, and is part of a checkpoint: an optimiser, an average. */
export interface Stateful {
  /** Named float32 variables, always the same ones: a checkpoint is read by assigning to them. */
  readonly tensors: Readonly<Record<string, Variable>>;
  /** Counts and the like. */
  readonly numbers: Readonly<Record<string, number>>;
  /** Takes numbers that were saved. @throws on other names, and on what cannot be a count */
  restoreNumbers(numbers: Readonly<Record<string, number>>): void;
}

/** A saved count. @throws when it is missing, is no whole number, or is not the only one */
export function restoredCount(where: string, name: string, numbers: Readonly<Record<string, number>>): number {
  const count = numbers[name];
  if (Object.keys(numbers).length === 1 && Number.isSafeInteger(count) && count >= 0) return count;
  throw new Error(
    `${where}: its saved numbers are { ${name}: <a count> }; got ${JSON.stringify(numbers)}; save it anew`,
  );
}
