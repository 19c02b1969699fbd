import { expect, it } from 'vitest';
import { epochSampler } from './epoch-sampler.ts';

const taken = (sampler: ReturnType<typeof epochSampler>, steps: number): number[] =>
  Array.from({ length: steps }, (_, step) => sampler.at(step).indices).flat();

it('sees each sample once in each epoch, in another order each time', () => {
  const sampler = epochSampler({ size: 10, seed: 1, batch: 4 });
  const all = taken(sampler, 15);
  const epochs = Array.from({ length: 6 }, (_, i) => all.slice(10 * i, 10 * (i + 1)));
  for (const epoch of epochs) expect([...epoch].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(new Set(epochs.map(String)).size).toBe(6);
  expect(sampler.stepsPerEpoch).toBe(2.5);
  expect([0, 1, 2, 3, 5].map((step) => sampler.at(step).epoch)).toEqual([0, 0, 0, 1, 2]);
});

it('is the same whenever a step is asked for, on every machine', () => {
  const options = { size: 1000, seed: 7, batch: 3 };
  const forwards = taken(epochSampler(options), 700);
  const sampler = epochSampler(options);
  for (const step of [699, 0, 333, 334, 1, 500]) {
    expect(sampler.at(step).indices).toEqual(forwards.slice(3 * step, 3 * step + 3));
  }
  expect(forwards.slice(0, 6)).toEqual([239, 337, 158, 758, 588, 472]);
  expect(taken(epochSampler({ ...options, seed: 8 }), 2)).not.toEqual(forwards.slice(0, 6));
});

it('takes batches larger than all samples', () => {
  const { indices } = epochSampler({ size: 3, seed: 1, batch: 7 }).at(0);
  expect([...indices.slice(0, 3)].sort()).toEqual([0, 1, 2]);
  expect([...indices.slice(3, 6)].sort()).toEqual([0, 1, 2]);
});

it('gives workers the parts of what one alone would see', () => {
  const whole = epochSampler({ size: 11, seed: 3, batch: 6 });
  const parts = [0, 1, 2].map((index) => epochSampler({ size: 11, seed: 3, batch: 2, shard: { index, count: 3 } }));
  for (let step = 0; step < 10; step++) {
    expect(parts.flatMap((part) => part.at(step).indices)).toEqual(whole.at(step).indices);
  }
  expect(parts[0].stepsPerEpoch).toBe(whole.stepsPerEpoch);
});

it('orders are fair', () => {
  // Each of 6 orders of 3 samples: 1000 times in 6000 epochs, with a deviation of 29.
  const sampler = epochSampler({ size: 3, seed: 5, batch: 3 });
  const counts = new Map<string, number>();
  for (let step = 0; step < 6000; step++) {
    const order = String(sampler.at(step).indices);
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect(counts.size).toBe(6);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(120);
});

it('says what is wrong', () => {
  const options = { size: 3, seed: 1, batch: 1 };
  expect(() => epochSampler({ ...options, size: 0 })).toThrow(
    'epochSampler: size is a whole number of at least 1; got 0; correct it',
  );
  expect(() => epochSampler({ ...options, seed: 0.5 })).toThrow(
    'epochSampler: a seed is a whole number; got 0.5; give one, such as 0',
  );
  expect(() => epochSampler({ ...options, shard: { index: 2, count: 2 } })).toThrow(
    'epochSampler: shards count from 0; got 2 of 2; the last is 1',
  );
  expect(() => epochSampler(options).at(-1)).toThrow('epochSampler: a step is a whole number of at least 0; got -1;');
});
