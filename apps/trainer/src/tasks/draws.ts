import { namedRandom, normalNoise } from '@rass/nn';
import type { Tensor4D } from '@tensorflow/tfjs-core';
import type { BatchPlace } from '../training/task.ts';

const SEEDS = 2 ** 31;

/** A seed for something that is drawn at a place, whatever was drawn before. */
export const seedAt = (seed: number, what: string, { step, part }: BatchPlace): number =>
  Math.floor(namedRandom(seed, `${what} ${step} ${part}`)() * SEEDS);

/** Standard normal values. */
export const noiseAt = (seed: number, what: string, place: BatchPlace, shape: Tensor4D['shape']): Tensor4D =>
  normalNoise(shape, seedAt(seed, what, place)) as Tensor4D;

/** One number in [0, 1) for each sample. */
export function sharesAt(seed: number, what: string, place: BatchPlace, count: number): number[] {
  const next = namedRandom(seed, `${what} ${place.step} ${place.part}`);
  return Array.from({ length: count }, next);
}

/** A timestep in [from, below) for each sample. */
export const timestepsAt = (
  seed: number,
  place: BatchPlace,
  count: number,
  [from, below]: readonly [number, number],
): number[] => sharesAt(seed, 'timestep', place, count).map((share) => from + Math.floor(share * (below - from)));
