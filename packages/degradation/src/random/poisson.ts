import { exp } from './portable-math.ts';
import { randomStream } from './random-stream.ts';

/** Entries of the guide into a table: the search begins at most a step or two before its end. */
const GUIDE = 256;

interface PoissonTable {
  /** The probability of at most k. */
  readonly upTo: Float64Array;
  /** For each share of 1, where to begin. */
  readonly guide: Uint16Array;
}

function poissonTable(mean: number): PoissonTable {
  const upTo: number[] = [];
  let share = exp(-mean);
  let sum = share;
  // Draws have 32 bits: what is beyond them is never asked for.
  for (let k = 0; sum < 1 - 1e-10 && share > 0; k++) {
    upTo.push(sum);
    share *= mean / (k + 1);
    sum += share;
  }
  upTo.push(1);
  const guide = new Uint16Array(GUIDE);
  for (let i = 0, k = 0; i < GUIDE; i++) {
    while (upTo[k] <= i / GUIDE) k++;
    guide[i] = k;
  }
  return { upTo: Float64Array.from(upTo), guide };
}

/** A Poisson number for each level, which stands for a mean of level / 255 * peak; the peak is at most 256. */
export function poissonCounts(levels: Uint8Array, peak: number, seed: number): Float32Array<ArrayBuffer> {
  const { uniform } = randomStream(seed, 'poisson');
  const tables: (PoissonTable | undefined)[] = new Array(256).fill(undefined);
  const out = new Float32Array(levels.length);
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i];
    const drawn = uniform();
    let table = tables[level];
    if (table === undefined) {
      table = poissonTable((level / 255) * peak);
      tables[level] = table;
    }
    const { upTo, guide } = table;
    let k = guide[(drawn * GUIDE) | 0];
    while (drawn >= upTo[k]) k++;
    out[i] = k;
  }
  return out;
}
