/** How fast steps are done, of late. */
export interface StepRate {
  /** The step and the moment, in seconds, of the last measure. */
  readonly step: number;
  readonly at: number;
  /** Steps and seconds that count, older ones less. */
  readonly steps: number;
  readonly seconds: number;
}

/** What each further step takes from the weight of the older ones. */
const FORGET = 0.05;

/** The rate with a further measure; undefined before is the first, which tells nothing yet. A step back, after
 * resuming, begins anew. */
export function measureRate(
  before: StepRate | undefined,
  { step, at }: { readonly step: number; readonly at: number },
): StepRate {
  if (before === undefined || step <= before.step) return { step, at, steps: 0, seconds: 0 };
  const done = step - before.step;
  const keep = (1 - FORGET) ** done;
  return { step, at, steps: before.steps * keep + done, seconds: before.seconds * keep + (at - before.at) };
}

/** Steps in a second; undefined while there is nothing to tell it by. */
export function stepsPerSecond(rate: StepRate | undefined): number | undefined {
  return rate === undefined || !(rate.seconds > 0) ? undefined : rate.steps / rate.seconds;
}
