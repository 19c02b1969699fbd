import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { mapAhead } from './map-ahead.ts';

async function all<T>(results: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of results) found.push(each);
  return found;
}

it('keeps the order, whichever item is done first', async () => {
  const delays = [30, 1, 20, 1, 1, 10];
  const results = mapAhead(delays, async (delay, index) => {
    await sleep(delay);
    return `${index}:${delay}`;
  });
  expect(await all(results)).toEqual(['0:30', '1:1', '2:20', '3:1', '4:1', '5:10']);
  expect(await all(mapAhead([], (x) => x))).toEqual([]);
});

it('works on so many ahead and no more', async () => {
  let pulled = 0;
  let running = 0;
  let most = 0;
  async function* source() {
    for (let i = 0; i < 12; i++) {
      pulled += 1;
      yield i;
    }
  }
  const run = async (item: number) => {
    most = Math.max(most, ++running);
    await sleep(2);
    running -= 1;
    return item;
  };
  let taken = 0;
  for await (const each of mapAhead(source(), run, { ahead: 3 })) {
    expect(each).toBe(taken++);
    await sleep(10);
    expect(pulled).toBe(Math.min(12, taken + 3));
  }
  expect(taken).toBe(12);
  expect(most).toBe(4);
});

it('gives what is ready though the source waits for more', async () => {
  async function* source() {
    yield 'first';
    await new Promise(() => {});
  }
  for await (const each of mapAhead(source(), (x) => x, { ahead: 5 })) {
    expect(each).toBe('first');
    break;
  }
});

it('an item that fails ends the loop when its turn comes', async () => {
  const begun: number[] = [];
  const taken: number[] = [];
  const discarded: number[] = [];
  const numbers = Array.from({ length: 50 }, (_, i) => i);
  const run = async (item: number) => {
    begun.push(item);
    await sleep(item === 1 ? 30 : 1);
    if (item >= 2 && item < 4) throw new Error(`no ${item}`);
    return item;
  };
  const loop = async () => {
    const options = { ahead: 4, discard: (each: number) => discarded.push(each) };
    for await (const each of mapAhead(numbers, run, options)) taken.push(each);
  };
  const error = await loop().catch((reason) => reason);
  expect(error.message).toBe('mapAhead: item 2 failed: no 2');
  expect(error.cause.message).toBe('no 2');
  expect(taken).toEqual([0, 1]);
  expect(begun.length).toBeLessThan(8);
  expect(discarded).toEqual(begun.slice(4));
});

it('a source that fails is told from an item', async () => {
  function* source() {
    yield 1;
    throw new Error('the disk is gone');
  }
  await expect(all(mapAhead(source(), (x) => x))).rejects.toThrow(
    'mapAhead: the source, at item 1, failed: the disk is gone',
  );
});

it('a signal stops it, and what is under way', async () => {
  const controller = new AbortController();
  const stopped: number[] = [];
  let isClosed = false;
  async function* source() {
    try {
      for (let i = 0; ; i++) yield i;
    } finally {
      isClosed = true;
    }
  }
  const run = async (item: number, _: number, signal: AbortSignal) => {
    if (item > 3) {
      await sleep(10_000, undefined, { signal }).catch((error) => {
        stopped.push(item);
        throw error;
      });
    }
    return item;
  };
  const taken: number[] = [];
  setTimeout(() => controller.abort(new Error('enough')), 20);
  const loop = async () => {
    for await (const each of mapAhead(source(), run, { signal: controller.signal })) taken.push(each);
  };
  await expect(loop()).rejects.toThrow('enough');
  expect(taken).toEqual([0, 1, 2, 3]);
  expect(stopped).toEqual([4, 5, 6]);
  await sleep(1);
  expect(isClosed).toBe(true);
  await expect(all(mapAhead([1], (x) => x, { signal: controller.signal }))).rejects.toThrow('enough');
});

it('a break frees what nobody will take', async () => {
  const discarded: number[] = [];
  const options = { ahead: 3, discard: (each: number) => discarded.push(each) };
  for await (const each of mapAhead([0, 1, 2, 3, 4, 5, 6], (x) => x, options)) if (each === 1) break;
  expect(discarded).toEqual([2, 3, 4]);
});

it('lets results go once they are taken', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const taken: WeakRef<object>[] = [];
  const signal = new AbortController().signal;
  async function* endless(): AsyncGenerator<number> {
    for (let i = 0; ; i++) yield i;
  }
  for await (const each of mapAhead(endless(), (index) => ({ index }), { signal })) {
    taken.push(new WeakRef(each));
    // A promise's reactions are let go when their turn is over.
    if (taken.length % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    if (taken.length < 50) continue;
    collect();
    break;
  }
  expect(taken.slice(0, 40).filter((each) => each.deref() !== undefined).length).toBe(0);
});

it('says what is wrong', async () => {
  await expect(all(mapAhead([1], (x) => x, { ahead: 0 }))).rejects.toThrow(
    'mapAhead: ahead is a whole number of at least 1; got 0; 2 is usual',
  );
});
