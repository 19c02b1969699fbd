import { spawnSync } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { degrade, type FloatImage, RASS_DEGRADATION, type RgbImage } from '../index.ts';
import { type DegradationJob, type DegradationPool, openDegradationPool, type PoolOptions } from '../node.ts';
import { randomStream } from '../random/random-stream.ts';
import { Threads } from './threads.ts';

function picture(side: number, seed: number): RgbImage {
  const { bits } = randomStream(seed, 'picture');
  return { width: side, height: side, data: Uint8Array.from({ length: 3 * side * side }, () => bits() & 255) };
}

const broken: RgbImage = { width: 9, height: 9, data: new Uint8Array(5) };

let pool: DegradationPool | undefined;
const open = (options: PoolOptions = {}): DegradationPool => {
  pool = openDegradationPool(RASS_DEGRADATION, { threads: 2, ...options });
  return pool;
};
afterEach(() => pool?.close());

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

describe('a list', () => {
  it('comes in its order with the bytes of degrade, and the images stay', async () => {
    // The first is the largest: it is done last.
    const jobs = [160, 16, 24, 33, 8, 40, 12].map((side, seed) => ({ image: picture(side, seed), seed }));
    const outcomes = await all(open().inOrder(jobs));
    expect(outcomes.map(({ index }) => index)).toEqual(jobs.map((_, i) => i));
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.error !== undefined) throw outcome.error;
      const alone = degrade(jobs[i].image, RASS_DEGRADATION, { seed: i });
      expect(outcome.record).toEqual(alone.record);
      expect(outcome.image).toEqual(alone.image);
      expect(jobs[i].image.data).toHaveLength(3 * jobs[i].image.width ** 2);
    }
  });

  it('goes on after an image that is not well formed', async () => {
    const images = [picture(8, 1), broken, picture(8, 3)];
    const outcomes = await all(open().inOrder(images.map((image) => ({ image, seed: 5 }))));
    expect(outcomes.map(({ error }) => error?.message)).toEqual([
      undefined,
      'image: it has width x height x 3 numbers; got 9 x 9 and 5 numbers; give RGB without alpha',
      undefined,
    ]);
  });

  it('is not taken further ahead than asked, and not waited for where results are there', async () => {
    let taken = 0;
    let handed = 0;
    let most = 0;
    const jobs = (async function* () {
      for (; taken < 12; ) {
        if (taken === 6) await expect.poll(() => handed).toBe(6);
        taken++;
        most = Math.max(most, taken - handed);
        yield { image: picture(8, taken), seed: 1 };
      }
    })();
    for await (const { index } of open({ ahead: 3 }).inOrder(jobs)) {
      expect(index).toBe(handed);
      await new Promise((resolve) => setTimeout(resolve, 5));
      handed++;
    }
    expect(handed).toBe(12);
    // The third is taken while the one handed out is still looked at.
    expect(most).toBeLessThanOrEqual(4);
  });

  it('stops at the signal with its reason, and closes the list, be it one that never goes on', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    let closed = false;
    const endless = (function* () {
      try {
        for (let seed = 0; ; seed++) yield { image: picture(16, seed), seed };
      } finally {
        closed = true;
      }
    })();
    let seen = 0;
    const reading = (async () => {
      for await (const _ of open().inOrder(endless, { signal: controller.signal }))
        if (++seen === 3) controller.abort(reason);
    })();
    await expect(reading).rejects.toBe(reason);
    expect([seen, closed]).toEqual([3, true]);

    const stuck = (async function* (): AsyncGenerator<DegradationJob<RgbImage>> {
      await new Promise(() => {});
    })();
    await expect(all(pool!.inOrder(stuck, { signal: AbortSignal.timeout(20) }))).rejects.toThrow('timeout');
    await expect(all(pool!.inOrder([], { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    // It still works.
    await pool!.degrade(picture(8, 1), { seed: 1 });
  });

  it('is closed at a break; its own error comes after the images before', async () => {
    let closed = false;
    const jobs = (function* () {
      try {
        for (let seed = 0; ; seed++) yield { image: picture(8, seed), seed };
      } finally {
        closed = true;
      }
    })();
    for await (const _ of open().inOrder(jobs)) break;
    expect(closed).toBe(true);
    const failing = (function* () {
      yield { image: picture(100, 1), seed: 1 };
      throw new Error('no such file');
    })();
    const seen: number[] = [];
    const reading = (async () => {
      for await (const { index } of pool!.inOrder(failing)) seen.push(index);
    })();
    await expect(reading).rejects.toThrow('no such file');
    expect(seen).toEqual([0]);
  });
});

describe('one image', () => {
  it('may be of floats, and a part of a larger buffer', async () => {
    const buffer = Float32Array.from({ length: 300 }, (_, i) => (i % 97) / 97);
    const image: FloatImage = { width: 5, height: 4, data: buffer.subarray(30, 90) };
    const result = await open().degrade(image, { seed: 4 });
    expect(result).toEqual(degrade(image, RASS_DEGRADATION, { seed: 4 }));
    expect(buffer).toHaveLength(300);
  });

  it('is let go at the signal, whether it waits or is worked at', async () => {
    open({ threads: 1 });
    const controller = new AbortController();
    const { signal } = controller;
    const runs = [1, 2, 3].map((seed) => pool!.degrade(picture(64, seed), { seed, signal }));
    const kept = pool!.degrade(picture(8, 4), { seed: 4 });
    controller.abort(new Error('enough'));
    for (const run of runs) await expect(run).rejects.toThrow('enough');
    await expect(pool!.degrade(picture(8, 4), { seed: 4, signal })).rejects.toThrow('enough');
    expect(await kept).toEqual(degrade(picture(8, 4), RASS_DEGRADATION, { seed: 4 }));
  });
});

describe('the threads', () => {
  it('end at close, and what is under way fails', async () => {
    open({ threads: 1 });
    const message = 'degradation: a pool works until it is closed; it is closed; open another one';
    const runs = [1, 2].map((seed) => pool!.degrade(picture(300, seed), { seed }));
    const listed = all(
      pool!.inOrder(
        (function* () {
          for (;;) yield { image: picture(8, 1), seed: 1 };
        })(),
      ),
    );
    const failures = [...runs, listed].map((each) => expect(each).rejects.toThrow(message));
    await pool!.close();
    await Promise.all(failures);
    await expect(pool!.degrade(picture(8, 1), { seed: 1 })).rejects.toThrow(message);
    await pool!.close();
  });

  it('that die fail their image alone, and the next has another one', async () => {
    // Ends at images of 1 x 1.
    const program = `import { parentPort } from 'node:worker_threads';
      parentPort.on('message', ({ image }) => image.width === 1 ? process.exit(3) : parentPort.postMessage({ result: image.width }));`;
    const threads = new Threads(RASS_DEGRADATION, 1, new URL(`data:text/javascript,${encodeURIComponent(program)}`));
    const runs = [2, 1, 3].map((side) => threads.run({ image: picture(side, 1), seed: 1 }));
    expect(await runs[0]).toBe(2);
    await expect(runs[1]).rejects.toThrow('degradation: a thread ends when the pool is closed; one has ended with 3');
    expect(await runs[2]).toBe(3);
    await threads.close();
  });

  it('do not keep a program alive that has what it asked for', () => {
    const program = `import { RASS_DEGRADATION } from '@rass/degradation';
      import { openDegradationPool } from '@rass/degradation/node';
      const pool = openDegradationPool(RASS_DEGRADATION);
      const { image } = await pool.degrade({ width: 3, height: 5, data: new Uint8Array(45) }, { seed: 1 });
      console.log(image.data.length);`;
    const options = { encoding: 'utf8', cwd: import.meta.dirname, timeout: 60_000 } as const;
    const { stdout, status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], options);
    expect([stdout.trim(), status], stderr).toEqual(['45', 0]);
  });

  it('errors', async () => {
    expect(() => openDegradationPool(RASS_DEGRADATION, { threads: 0 })).toThrow(
      'openDegradationPool: threads is a whole number above 0; got 0; leave it out for the usual',
    );
    expect(() => openDegradationPool(RASS_DEGRADATION, { ahead: 1.5 })).toThrow(
      'ahead is a whole number above 0; got 1.5;',
    );
    expect(() => openDegradationPool({ ...RASS_DEGRADATION, scale: 0 })).toThrow('openDegradationPool: scale: ');
    await expect(open().degrade(broken, { seed: 0.5 })).rejects.toThrow('degrade: a seed is a whole number; got 0.5;');
  });
});
