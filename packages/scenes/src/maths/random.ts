const MULBERRY_STEP = 0x6d2b79f5;
const FNV_PRIME = 0x01000193;

/** Random numbers from a seed and a name. What one thing draws does not change what another gets. */
export interface Random {
  /** From 0 to 1, 1 left out. */
  next(): number;
  between(low: number, high: number): number;
  /** A whole number from low to high, both among them. */
  whole(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(choices: readonly T[]): T;
  /** About normal, deviation 1, never beyond 3.5: a sum of four uniform numbers needs no logarithm. */
  bell(): number;
  /** Another stream of numbers, of this one's seed and of its own name. */
  child(name: string): Random;
}

/** @source mulberry32; FNV-1a over the name */
export function createRandom(seed: number, name: string): Random {
  // Seeds beyond 32 bits count with all of their bits.
  let state = (seed ^ Math.imul(Math.floor(seed / 4294967296), 0x9e3779b1)) >>> 0;
  for (let i = 0; i < name.length; i++) state = Math.imul(state ^ name.charCodeAt(i), FNV_PRIME) >>> 0;
  const origin = state;
  const next = (): number => {
    state = (state + MULBERRY_STEP) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    between: (low, high) => low + (high - low) * next(),
    whole: (low, high) => low + Math.floor(next() * (high - low + 1)),
    chance: (probability) => next() < probability,
    pick: (choices) => choices[Math.floor(next() * choices.length)],
    bell: () => (next() + next() + next() + next() - 2) * 1.7320508,
    child: (name) => createRandom(origin, `/${name}`),
  };
}

/** A number from 0 to 1 for a cell of a texture. */
export function cellValue(x: number, y: number, seed: number): number {
  let h = Math.imul(x | 0, 0x27d4eb2d) ^ Math.imul(y | 0, 0x165667b1) ^ Math.imul(seed | 0, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 4294967296;
}
