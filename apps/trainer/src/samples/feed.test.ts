import { DEGRADATION_PRESETS } from '@rass/degradation';
import { expect, it } from 'vitest';
import { type FeedSettings, openFeed } from './feed.ts';
import type { Sample } from './sample.ts';

const SETTINGS: FeedSettings = {
  data: {
    source: { kind: 'scenes', size: 48, first: 3 },
    augment: { crop: 32, flip: true },
    workers: 1,
    ahead: 2,
  },
  validation: { every: 1, samples: 3 },
  degradation: 'rass',
  batch: 2,
  accumulate: 2,
  seed: 7,
};

type Step = readonly (readonly Sample[])[];

/** The steps from one on. */
async function steps(settings: FeedSettings, from: number, count: number): Promise<Step[]> {
  const feed = await openFeed(settings);
  const ending = new AbortController();
  const taken: Step[] = [];
  try {
    for await (const step of feed.from(from, ending.signal)) {
      taken.push(step);
      if (taken.length === count) return taken;
    }
    return taken;
  } finally {
    ending.abort();
    await feed.close();
  }
}

it('gives a step the same samples whenever it is asked for, by threads or without', async () => {
  const all = await steps(SETTINGS, 0, 4);
  expect(await steps(SETTINGS, 2, 2)).toEqual(all.slice(2));
  expect(await steps({ ...SETTINGS, data: { ...SETTINGS.data, workers: 0 } }, 0, 4)).toEqual(all);
  expect(await steps({ ...SETTINGS, data: { ...SETTINGS.data, workers: 3, ahead: 4 } }, 0, 4)).toEqual(all);
  const other = await steps({ ...SETTINGS, seed: 8 }, 0, 1);
  expect(other[0]).not.toEqual(all[0]);
});

it('gives batches of cut, mirrored and degraded samples', async () => {
  const all = await steps(SETTINGS, 0, 4);
  const samples = all.flat(2);
  expect(all.map((step) => step.map((batch) => batch.length))).toEqual(Array(4).fill([2, 2]));
  expect(new Set(samples.map(({ id }) => id)).size).toBe(16);
  for (const { clean, degraded, labels } of samples) {
    expect([clean.width, clean.height, degraded.width, labels?.width]).toEqual([32, 32, 32, 32]);
    expect(degraded.data).not.toEqual(clean.data);
  }
});

it('has no end where its source has one, with every sample once in each pass', async () => {
  const short = { ...SETTINGS.data, source: { ...SETTINGS.data.source, length: 8 } };
  const taken = await steps({ ...SETTINGS, data: short as FeedSettings['data'] }, 0, 4);
  const passes = [taken.slice(0, 2), taken.slice(2)].map((pass) => pass.flat(2).map(({ id }) => id));
  expect(new Set(passes[0]).size).toBe(8);
  expect(new Set(passes[1])).toEqual(new Set(passes[0]));
  expect(passes[1]).not.toEqual(passes[0]);
});

it('scores fixed samples that no training has, cut in their middle', async () => {
  const [first, second] = [await openFeed(SETTINGS), await openFeed({ ...SETTINGS, seed: 8 })];
  const samples = await first.validation();
  expect(samples.length).toBe(3);
  expect(await second.validation()).toEqual(samples);
  expect(samples[0]!.id).toBe(`scene ${2 ** 30}`);
  await first.close();
  await second.close();
});

it('leaves images as they are where nothing degrades them', async () => {
  const [step] = await steps({ ...SETTINGS, degradation: 'none' }, 0, 1);
  for (const { clean, degraded } of step!.flat()) expect(degraded.data).toEqual(clean.data);
});

it('says what is wrong', async () => {
  await expect(openFeed({ ...SETTINGS, degradation: 'ras' })).rejects.toThrow(
    `degradation: it is a preset or a .yml file; got "ras"; closest: rass`,
  );
  expect(Object.keys(DEGRADATION_PRESETS)).toContain('rass');
  const large = { ...SETTINGS, data: { ...SETTINGS.data, augment: { crop: 64, flip: true } } };
  await expect(steps(large, 0, 1)).rejects.toThrow(
    'samples: an image is at least as large as the crop, 64 x 64; got 48 x 48 of scene 3',
  );
});
