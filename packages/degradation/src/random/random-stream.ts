const WARM_UP = 15;
const TO_UNIT = 1 / 4294967296;

/** Random numbers of a seed and a name: what one part of a degradation draws does not change what another gets. */
export interface RandomStream {
  /** 32 random bits, as a signed whole number. */
  bits(): number;
  /** From 0 to 1, 1 left out. */
  uniform(): number;
  between(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(choices: readonly T[]): T;
  /** One of the names, each with the share of its weight. */
  choose<K extends string>(weights: Readonly<Partial<Record<K, number>>>): K;
}

/** Words of state from a text. @source FNV-1a, murmur3's finalizer */
function hashWords(text: string): () => number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let word = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return word ^ (word >>> 16);
  };
}

/** @throws when the seed is no whole number */
export function checkSeed(where: string, seed: number): void {
  if (Number.isSafeInteger(seed)) return;
  throw new Error(`${where}: a seed is a whole number; got ${seed}; give one, such as 0`);
}

/** @source sfc32 of PractRand */
export function randomStream(seed: number, name: string): RandomStream {
  const word = hashWords(`${seed}/${name}`);
  let [a, b, c] = [word(), word(), word()];
  let counter = 1;
  const bits = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum;
  };
  for (let i = 0; i < WARM_UP; i++) bits();
  const uniform = (): number => (bits() >>> 0) * TO_UNIT;
  return {
    bits,
    uniform,
    between: (low, high) => low + (high - low) * uniform(),
    chance: (probability) => uniform() < probability,
    pick: (choices) => choices[Math.floor(uniform() * choices.length)],
    choose(weights) {
      const entries = Object.entries(weights) as [keyof typeof weights & string, number][];
      let rest = uniform() * entries.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [key, weight] of entries) {
        rest -= weight;
        if (rest < 0) return key;
      }
      // Rounding may leave a trifle: the last one that can be had.
      return entries.findLast(([, weight]) => weight > 0)![0];
    },
  };
}
