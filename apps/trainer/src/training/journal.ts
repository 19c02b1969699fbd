import { join } from 'node:path';
import { strip } from '@rass/images';
import { measureRate, progressLine, type StepRate } from '@rass/training';
import { memoryUse, openMetricsLog, openTensorboard } from '@rass/training/node';
import type { SheetRow } from './task.ts';

/** What a run tells of itself: lines for people, metrics.jsonl, TensorBoard's events. */
export interface Journal {
  /** After an update; the terms are averaged until a line is due. */
  step(step: number, terms: Readonly<Record<string, number>>, learningRate: number): void;
  validation(step: number, metrics: Readonly<Record<string, number>>, sheet: readonly SheetRow[]): void;
  close(): void;
}

export interface JournalOptions {
  readonly out: string;
  /** The step that the run goes on from. */
  readonly start: number;
  readonly steps: number;
  /** Steps between two lines. */
  readonly every: number;
  readonly print: (line: string) => void;
}

/** Sums of terms since the last line. */
class Means {
  #sums: Record<string, number> = {};
  #count = 0;

  add(terms: Readonly<Record<string, number>>): void {
    this.#count += 1;
    for (const [name, value] of Object.entries(terms)) this.#sums[name] = (this.#sums[name] ?? 0) + value;
  }

  take(): Record<string, number> {
    const means = Object.fromEntries(Object.entries(this.#sums).map(([name, sum]) => [name, sum / this.#count]));
    this.#sums = {};
    this.#count = 0;
    return means;
  }
}

const prefixed = (prefix: string, values: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}/${name}`, value]));

const shown = (metrics: Readonly<Record<string, number>>): string =>
  Object.entries(metrics)
    .map(([name, value]) => `${name} ${value.toPrecision(4)}`)
    .join('  ');

/** Opens a run's logs where it goes on. */
export function openJournal({ out, start, steps, every, print }: JournalOptions): Journal {
  const metricsLog = openMetricsLog(join(out, 'metrics.jsonl'), start);
  for (const note of metricsLog.notes) print(`metrics.jsonl: ${note}`);
  const board = openTensorboard(join(out, 'events'), start);
  const means = new Means();
  let rate: StepRate | undefined = measureRate(undefined, { step: start, at: performance.now() / 1000 });
  return {
    step(step, terms, learningRate) {
      means.add(terms);
      rate = measureRate(rate, { step, at: performance.now() / 1000 });
      if (step % every !== 0 && step !== steps) return;
      const taken = means.take();
      metricsLog.append(step, { ...taken, learningRate });
      board.scalars(step, { ...prefixed('train', taken), 'train/learningRate': learningRate });
      print(progressLine({ step, steps, rate, learningRate, terms: taken, memory: memoryUse() }));
    },
    validation(step, metrics, sheet) {
      metricsLog.append(step, prefixed('validation', metrics));
      board.scalars(step, prefixed('validation', metrics));
      for (const { title, pictures } of sheet) {
        const row = pictures.map(({ picture }) => picture);
        if (row.length > 0) board.image(step, `validation/${title}`, strip(row));
      }
      print(`step ${step}/${steps}  validation: ${shown(metrics)}`);
      // A validation's time says nothing of the steps.
      rate = measureRate(undefined, { step, at: performance.now() / 1000 });
    },
    close() {
      metricsLog.close();
      board.close();
    },
  };
}
