/** Merges in order: two ids and the id that they make. */
export interface Merges {
  readonly left: ArrayLike<number>;
  readonly right: ArrayLike<number>;
  readonly made: ArrayLike<number>;
}

/** Odd, near 2^32 over the golden ratio: spreads consecutive numbers over the table. */
const SPREAD = 0x9e3779b1;

function slotsFor(count: number): number {
  let slots = 16;
  while (slots < 2 * count) slots *= 2;
  return slots;
}

/** A function from two neighbours to the rank of their merge, -1 where they never merge: a hash table on plain arrays,
 * built many times faster than a Map of fifty thousand keys. Of equal pairs the last counts. */
export function pairRanks({ left, right }: Merges): (left: number, right: number) => number {
  const slots = slotsFor(left.length);
  const table = new Int32Array(slots).fill(-1);
  const slotOf = (a: number, b: number): number => {
    let slot = (Math.imul(a, SPREAD) ^ Math.imul(b, SPREAD << 1)) >>> 0;
    for (slot = (slot ^ (slot >>> 15)) & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      const rank = table[slot];
      if (rank < 0 || (left[rank] === a && right[rank] === b)) return slot;
    }
  };
  for (let rank = 0; rank < left.length; rank++) table[slotOf(left[rank], right[rank])] = rank;
  return (a, b) => table[slotOf(a, b)];
}
