import { namedRandom } from '@rass/nn';

export interface SamplerOptions {
  /** How many samples there are. */
  readonly size: number;
  readonly seed: number;
  /** How many each worker takes at a step. */
  readonly batch: number;
  /** Of several workers, each of which takes another part of every step's samples; default: one alone. */
  readonly shard?: { readonly index: number; readonly count: number };
}

/** The samples of one step. */
export interface SampledBatch {
  /** Times that all samples were seen before the first of these. */
  readonly epoch: number;
  readonly indices: readonly number[];
}

/** Which samples each step sees. */
export interface EpochSampler {
  /** Steps in which all workers together see each sample once; not whole where a batch goes over an epoch's end. */
  readonly stepsPerEpoch: number;
  /** The samples of a step, from 0: the same whenever and in whatever order it is asked. */
  at(step: number): SampledBatch;
}

/** All numbers below a size in random order. */
function shuffled(size: number, random: () => number): Uint32Array {
  const order = Uint32Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function check(what: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new Error(`epochSampler: ${what} is a whole number of at least ${least}; got ${value}; correct it`);
}

/** Shuffles the samples anew for each epoch, and puts the epochs one behind the other: all batches are of one size, and
 * one at an epoch's end goes on with the next. It has no state: a run that resumes asks for its step. Together the
 * workers of `shard` see the batches, in parts, that one alone would with a batch of all of theirs. @throws on sizes
 * that are none */
export function epochSampler({ size, seed, batch, shard = { index: 0, count: 1 } }: SamplerOptions): EpochSampler {
  check('size', size, 1);
  check('batch', batch, 1);
  check('the number of shards', shard.count, 1);
  check('the shard', shard.index, 0);
  if (shard.index >= shard.count) {
    throw new Error(
      `epochSampler: shards count from 0; got ${shard.index} of ${shard.count}; the last is ${shard.count - 1}`,
    );
  }
  if (!Number.isSafeInteger(seed)) {
    throw new Error(`epochSampler: a seed is a whole number; got ${seed}; give one, such as 0`);
  }
  // The two that a batch may lie in.
  const orders = new Map<number, Uint32Array>();
  const orderOf = (epoch: number): Uint32Array => {
    const known = orders.get(epoch);
    if (known !== undefined) return known;
    for (const other of orders.keys()) if (Math.abs(other - epoch) > 1) orders.delete(other);
    const order = shuffled(size, namedRandom(seed, `epoch ${epoch}`));
    orders.set(epoch, order);
    return order;
  };
  return {
    stepsPerEpoch: size / (batch * shard.count),
    at(step) {
      check('a step', step, 0);
      const first = (step * shard.count + shard.index) * batch;
      const indices = Array.from({ length: batch }, (_, i) => {
        const place = first + i;
        return orderOf(Math.floor(place / size))[place % size];
      });
      return { epoch: Math.floor(first / size), indices };
    },
  };
}
