/** A generator of uniform numbers in [0, 1) from a seed (mulberry32, public domain algorithm). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export interface RandomOptions {
  seed?: number;
  /** Uniform in [low, high); default [-1, 1). */
  low?: number;
  high?: number;
}

/** `count` uniform float32 values from a seed. */
export function randomValues(
  count: number,
  { seed = 1, low = -1, high = 1 }: RandomOptions = {},
): Float32Array<ArrayBuffer> {
  const next = seededRandom(seed);
  return Float32Array.from({ length: count }, () => low + (high - low) * next());
}
