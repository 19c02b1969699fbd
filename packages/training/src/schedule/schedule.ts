/** The learning rate of an update: a pure function of how many updates came before it, from 0. */
export type Schedule = (step: number) => number;

function checkRate(where: string, what: string, value: number): void {
  if (Number.isFinite(value) && value >= 0) return;
  throw new Error(`${where}: ${what} is a number of at least 0; got ${value}; correct it`);
}

function checkSteps(where: string, steps: number): void {
  if (Number.isSafeInteger(steps) && steps > 0) return;
  throw new Error(`${where}: steps are a whole number of at least 1; got ${steps}; correct it`);
}

/** A schedule that refuses what is no step. */
function scheduleOf(where: string, rateAt: Schedule): Schedule {
  return (step) => {
    if (Number.isSafeInteger(step) && step >= 0) return rateAt(step);
    throw new Error(`${where}: a step is a whole number from 0; got ${step}; count the updates done`);
  };
}

/** Always the same rate. */
export function constantSchedule(rate: number): Schedule {
  checkRate('constantSchedule', 'rate', rate);
  return scheduleOf('constantSchedule', () => rate);
}

export interface PolynomialOptions {
  /** At step 0. */
  readonly rate: number;
  /** From here on the rate is 0. */
  readonly steps: number;
  /** Default 0.9; 1 is a straight line. */
  readonly power?: number;
}

/** From the rate down to 0 by a power of what is left. @source torch.optim.lr_scheduler.PolynomialLR */
export function polynomialSchedule({ rate, steps, power = 0.9 }: PolynomialOptions): Schedule {
  checkRate('polynomialSchedule', 'rate', rate);
  checkRate('polynomialSchedule', 'power', power);
  checkSteps('polynomialSchedule', steps);
  return scheduleOf('polynomialSchedule', (step) => rate * (1 - Math.min(step, steps) / steps) ** power);
}

export interface WarmUpOptions {
  /** How many updates it takes; default 1000. */
  readonly steps?: number;
  /** What the rate is multiplied by at step 0; default 0.001. */
  readonly factor?: number;
  /** Whether the factor grows, or stays until the end; default `linear`. */
  readonly method?: 'linear' | 'constant';
}

/** What a warm-up multiplies the rate by. */
function warmUpFactor(where: string, { steps = 1000, factor = 0.001, method = 'linear' }: WarmUpOptions): Schedule {
  if (steps !== 0) checkSteps(`${where}: warm-up`, steps);
  checkRate(where, 'warm-up factor', factor);
  return (step) => {
    if (step >= steps) return 1;
    return method === 'constant' ? factor : factor + (1 - factor) * (step / steps);
  };
}

/** A schedule times a factor that grows to 1. The schedule's own steps go on meanwhile, as in detectron2. */
export function withWarmUp(schedule: Schedule, options: WarmUpOptions = {}): Schedule {
  const factor = warmUpFactor('withWarmUp', options);
  return scheduleOf('withWarmUp', (step) => factor(step) * schedule(step));
}

export interface WarmUpPolynomialOptions extends PolynomialOptions {
  readonly warmUp?: WarmUpOptions;
  /** A share of the rate below which it does not fall once it is warm; default 0. */
  readonly constantEnding?: number;
}

/** Polynomial decay with warm-up as Mask2Former is trained with it. @source detectron2's WarmupPolyLR */
export function warmUpPolynomialSchedule(options: WarmUpPolynomialOptions): Schedule {
  const { rate, steps, power = 0.9, warmUp = {}, constantEnding = 0 } = options;
  const where = 'warmUpPolynomialSchedule';
  checkRate(where, 'constant ending', constantEnding);
  const decay = polynomialSchedule({ rate: 1, steps, power });
  const factor = warmUpFactor(where, warmUp);
  checkRate(where, 'rate', rate);
  return scheduleOf(where, (step) => {
    const warm = factor(step);
    return rate * (warm === 1 ? Math.max(decay(step), constantEnding) : warm * decay(step));
  });
}

export interface CosineOptions {
  /** At step 0. */
  readonly rate: number;
  /** From here on the rate is `end`. */
  readonly steps: number;
  /** Default 0. */
  readonly end?: number;
}

/** Half a wave of a cosine from the rate down to its end, where it stays.
 * @source torch.optim.lr_scheduler.CosineAnnealingLR, which goes up again after the end */
export function cosineSchedule({ rate, steps, end = 0 }: CosineOptions): Schedule {
  checkRate('cosineSchedule', 'rate', rate);
  checkRate('cosineSchedule', 'end', end);
  checkSteps('cosineSchedule', steps);
  return scheduleOf('cosineSchedule', (step) => {
    const share = Math.min(step, steps) / steps;
    return end + ((rate - end) * (1 + Math.cos(Math.PI * share))) / 2;
  });
}

export interface MultiStepOptions {
  /** Until the first milestone. */
  readonly rate: number;
  /** Growing steps, from each of which on the rate is smaller. */
  readonly milestones: readonly number[];
  /** By what the rate is multiplied at each; default 0.1. */
  readonly gamma?: number;
}

/** A stair down. @source torch.optim.lr_scheduler.MultiStepLR */
export function multiStepSchedule({ rate, milestones, gamma = 0.1 }: MultiStepOptions): Schedule {
  checkRate('multiStepSchedule', 'rate', rate);
  checkRate('multiStepSchedule', 'gamma', gamma);
  const isGrowing = milestones.every((each, i) => Number.isSafeInteger(each) && each > (milestones[i - 1] ?? 0));
  if (!isGrowing) {
    throw new Error(
      `multiStepSchedule: milestones are whole numbers that grow; got ${milestones.join(', ')}; sort them`,
    );
  }
  return scheduleOf('multiStepSchedule', (step) => rate * gamma ** milestones.filter((each) => each <= step).length);
}

export interface LinearOptions {
  readonly rate: number;
  /** How many updates the change takes; default 5. */
  readonly steps?: number;
  /** Shares of the rate at step 0 and at the end, where it stays; default 1/3 and 1. */
  readonly from?: number;
  readonly to?: number;
}

/** A straight line between two shares of the rate. @source torch.optim.lr_scheduler.LinearLR */
export function linearSchedule({ rate, steps = 5, from = 1 / 3, to = 1 }: LinearOptions): Schedule {
  checkRate('linearSchedule', 'rate', rate);
  checkRate('linearSchedule', 'from', from);
  checkRate('linearSchedule', 'to', to);
  checkSteps('linearSchedule', steps);
  return scheduleOf('linearSchedule', (step) => rate * (from + ((to - from) * Math.min(step, steps)) / steps));
}

/** One part of a training. */
export interface SchedulePart {
  /** Counts from 0 at the part's start. */
  readonly schedule: Schedule;
  /** How long it lasts; the last part's lasts for ever, and is left out. */
  readonly steps?: number;
}

/** Schedules one after the other.
 * @throws when a part but the last has no end
 * @source torch.optim.lr_scheduler.SequentialLR */
export function sequentialSchedule(parts: readonly SchedulePart[]): Schedule {
  if (parts.length === 0) throw new Error('sequentialSchedule: there is a part; got none; give a schedule');
  for (const { steps } of parts.slice(0, -1)) checkSteps('sequentialSchedule', steps ?? 0);
  if (parts.at(-1)?.steps !== undefined) {
    throw new Error('sequentialSchedule: the last part has no end; got steps; leave them out, or add a part');
  }
  return scheduleOf('sequentialSchedule', (step) => {
    let start = 0;
    const part = parts.find(({ steps = Number.POSITIVE_INFINITY }) => {
      if (step < start + steps) return true;
      start += steps;
      return false;
    });
    return part!.schedule(step - start);
  });
}
