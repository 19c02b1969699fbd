import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant } from './contestant.ts';

/** The result of one row. */
export interface Result {
  /** Medians over the rounds. */
  ourSeconds: number;
  theirSeconds: number;
  /** Median of the rounds' own ratios: a load on the machine meets both sides of a round alike. */
  ratio: number;
  ourPeakBytes: number;
  theirPeakBytes: number;
}

export interface DuelOptions {
  rounds: number;
  /** How long a side runs within one round, at least; short runs are repeated. */
  secondsPerTurn: number;
}

/** Lets the other side's threads, which spin for a while after their work, fall asleep. */
const PAUSE_MS = 250;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function turn(side: Contestant, times: number): Promise<number> {
  await sleep(PAUSE_MS);
  return median((await side.run(times)).seconds);
}

/** Runs both sides in turns, each first in every other round, after a warm-up that also says how often to repeat. */
export async function duel(ours: Contestant, theirs: Contestant, options: DuelOptions): Promise<Result> {
  const warm = [await ours.run(1), await theirs.run(1)].map(({ seconds }) => seconds[0]);
  let times = Math.max(1, Math.ceil(options.secondsPerTurn / Math.max(...warm)));
  if (times > 1) {
    // The first run of a short row is mostly set-up: ask again.
    const again = [await ours.run(2), await theirs.run(2)].map(({ seconds }) => seconds[1]);
    times = Math.min(200, Math.max(1, Math.ceil(options.secondsPerTurn / Math.max(...again))));
  }
  const rounds: { ours: number; theirs: number }[] = [];
  for (let round = 0; round < options.rounds; round++) {
    if (round % 2 === 0) {
      rounds.push({ ours: await turn(ours, times), theirs: await turn(theirs, times) });
    } else {
      const their = await turn(theirs, times);
      rounds.push({ theirs: their, ours: await turn(ours, times) });
    }
  }
  return {
    ourSeconds: median(rounds.map((round) => round.ours)),
    theirSeconds: median(rounds.map((round) => round.theirs)),
    ratio: median(rounds.map((round) => round.ours / round.theirs)),
    ourPeakBytes: (await ours.run(0)).peakBytes,
    theirPeakBytes: (await theirs.run(0)).peakBytes,
  };
}

/** One side by itself: the median of its runs after the first, which warms up. */
export async function soloRuns(side: Contestant, rounds: number): Promise<{ seconds: number; peakBytes: number }> {
  await side.run(1);
  const { seconds, peakBytes } = await side.run(rounds);
  return { seconds: median(seconds), peakBytes };
}
