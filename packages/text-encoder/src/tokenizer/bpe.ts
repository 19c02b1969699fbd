import type { Vocabulary } from './vocabulary.ts';

/** One word as tokens: their ids, and after how many bytes of the word each ends. */
export interface WordTokens {
  readonly ids: readonly number[];
  readonly ends: readonly number[];
}

/** A heap key holds a merge's rank above its position, so that the smallest key is the best rank, leftmost first. */
const POSITIONS = 2 ** 32;

/** A binary heap of numbers, smallest first. */
class Heap {
  readonly #keys: number[] = [];

  push(key: number): void {
    const keys = this.#keys;
    let i = keys.length;
    keys.push(key);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (keys[parent] <= key) break;
      keys[i] = keys[parent];
      i = parent;
    }
    keys[i] = key;
  }

  pop(): number | undefined {
    const keys = this.#keys;
    const top = keys[0];
    const key = keys.pop();
    if (key === undefined || keys.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= keys.length) break;
      if (child + 1 < keys.length && keys[child + 1] < keys[child]) child++;
      if (keys[child] >= key) break;
      keys[i] = keys[child];
      i = child;
    }
    keys[i] = key;
    return top;
  }
}

/** Merges the bytes of one word, best rank first and leftmost among equals, in n log n steps, so that a very long
 * word is no trap. @source tokenizers BPE with end_of_word_suffix `</w>` */
export function mergeWord(vocabulary: Vocabulary, bytes: Uint8Array): WordTokens {
  const { byteIds, lastByteIds, unknownId } = vocabulary;
  const { made } = vocabulary.merges;
  const count = bytes.length;
  const ids = Array.from(bytes, (byte, i) => {
    const id = i === count - 1 ? lastByteIds[byte] : byteIds[byte];
    return id < 0 ? unknownId : id;
  });
  // A linked list over the bytes: next[i] starts the symbol after the one at i, ids[i] < 0 marks one merged away.
  const next = ids.map((_, i) => i + 1);
  const previous = ids.map((_, i) => i - 1);
  const heap = new Heap();
  const consider = (i: number): void => {
    if (i < 0 || next[i] >= count) return;
    const rank = vocabulary.rankOf(ids[i], ids[next[i]]);
    if (rank >= 0) heap.push(rank * POSITIONS + i);
  };
  for (let i = 0; i < count - 1; i++) consider(i);
  for (let key = heap.pop(); key !== undefined; key = heap.pop()) {
    const i = key % POSITIONS;
    const rank = Math.floor(key / POSITIONS);
    if (ids[i] < 0 || next[i] >= count) continue;
    const right = next[i];
    // The entry is stale if either side has changed since.
    const now = vocabulary.rankOf(ids[i], ids[right]);
    if (now < 0 || made[now] !== made[rank]) continue;
    ids[i] = made[rank];
    ids[right] = -1;
    next[i] = next[right];
    if (next[i] < count) previous[next[i]] = i;
    consider(previous[i]);
    consider(i);
  }
  const starts = next.map((_, i) => i).filter((i) => ids[i] >= 0);
  return { ids: starts.map((i) => ids[i]), ends: starts.map((i) => next[i]) };
}
