import type { Held } from '../work.ts';

/** What every banded stage needs to know. */
export interface BandContext {
  readonly held: Held;
  /** No tensor but the input and the result is larger. */
  readonly maxTensorBytes: number;
  /** The stage's module, for progress and errors. */
  readonly at: string;
}
