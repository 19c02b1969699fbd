import type { CheckpointState } from './state-file.ts';

/** Checkpoints that are kept for a score. */
export interface KeepBest {
  /** A name among the metrics. A checkpoint without it, or with one that is not finite, is never the best. */
  readonly metric: string;
  /** Which is better. */
  readonly mode: 'max' | 'min';
  /** How many; default 1. */
  readonly keep?: number;
}

export interface Retention {
  /** How many of the newest stay; default: all checkpoints do. */
  readonly keepLast?: number;
  /** What stays beside the newest. */
  readonly keepBest?: readonly KeepBest[];
}

/** @throws on numbers that keep nothing, and on keepBest where all stay anyway */
export function checkRetention({ keepLast, keepBest = [] }: Retention): void {
  const counts = [keepLast ?? 1, ...keepBest.map(({ keep = 1 }) => keep)];
  const bad = counts.find((count) => !(Number.isSafeInteger(count) && count > 0));
  if (bad !== undefined) {
    throw new Error(`checkpoints: a number of checkpoints to keep is whole and at least 1; got ${bad}; correct it`);
  }
  if (keepLast === undefined && keepBest.length > 0) {
    throw new Error(
      'checkpoints: keepBest goes with keepLast; got it alone, where all stay; say how many of the newest do',
    );
  }
}

type Scored = Pick<CheckpointState, 'step' | 'metrics'>;

function best(saved: readonly Scored[], { metric, mode, keep = 1 }: KeepBest): number[] {
  const sign = mode === 'max' ? -1 : 1;
  return saved
    .flatMap(({ step, metrics }) => {
      const value = metrics[metric] ?? Number.NaN;
      return Number.isFinite(value) ? [{ step, value }] : [];
    })
    .sort((a, b) => sign * (a.value - b.value) || b.step - a.step)
    .slice(0, keep)
    .map(({ step }) => step);
}

/** The steps that stay: the newest, and the best by each metric, the newer of equals. */
export function stepsToKeep(saved: readonly Scored[], { keepLast, keepBest = [] }: Retention): Set<number> {
  const steps = saved.map(({ step }) => step).sort((a, b) => b - a);
  return new Set([...steps.slice(0, keepLast), ...keepBest.flatMap((rule) => best(saved, rule))]);
}
