import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ADE20K_CLASSES } from '@rass/datasets';
import { openAde20k } from '@rass/datasets/node';
import { DEGRADATION_PRESETS } from '@rass/degradation';
import { encodeLabelsPng, encodePng } from '@rass/images';
import { drawScene, SCENE_CLASSES } from '@rass/scenes';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SourceRecipe } from '../recipe/fields.ts';
import { type FeedSettings, openFeed } from './feed.ts';
import type { Sample } from './sample.ts';
import { scenesSource } from './scenes.ts';

const SETTINGS: FeedSettings = {
  data: {
    source: { kind: 'scenes', size: 48, first: 3 },
    augment: { crop: 32, flip: true, colour: false, mostOfOneClass: 1 },
    workers: 1,
    ahead: 2,
    allow: [],
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

it('keeps scenes that are drawn, for every later time', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rass-kept-'));
  const keep = join(folder, 'scenes');
  const source = { kind: 'scenes', size: 48, first: 3, length: 6 } as const;
  const of = (each: SourceRecipe): FeedSettings => ({ ...SETTINGS, data: { ...SETTINGS.data, source: each } });
  const asDrawn = await steps(of(source), 0, 3);
  expect(await steps(of({ ...source, keep }), 0, 3)).toEqual(asDrawn);
  const images = readdirSync(join(keep, 'images'));
  expect(images).toEqual([3, 4, 5, 6, 7, 8].map((seed) => `${String(seed).padStart(6, '0')}.png`));
  // What is read is what lies there.
  writeFileSync(
    join(keep, 'images', images[5]!),
    encodePng({ width: 48, height: 48, data: new Uint8Array(48 * 48 * 3) }),
  );
  const read = (await steps({ ...of({ ...source, keep }), degradation: 'none' }, 0, 3)).flat(2);
  expect(read.filter(({ clean }) => clean.data.every((value) => value === 0)).length).toBe(2);
  const set = await openAde20k(keep);
  expect([set.length, set.classes.length]).toEqual([6, SCENE_CLASSES.length]);
  expect((await set.get(0)).labels).toEqual(drawScene({ seed: 3, width: 48, height: 48 }).labels);
  await expect(openFeed(of({ ...source, size: 64, keep }))).rejects.toThrow('got another scene 3, of 48 x 48');
  rmSync(folder, { recursive: true });
});

it('refuses scenes of another size or setting, whichever of them are kept', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rass-other-'));
  const source = { kind: 'scenes', size: 32, first: 0, keep: join(folder, 'scenes') } as const;
  // Not the first of the source: a shuffled feed begins with any.
  await (await scenesSource(source)).get(7);
  const refused = scenesSource({ ...source, size: 64 });
  await expect(refused).rejects.toThrow(
    `${source.keep}: scenes are kept as they would be drawn; got another scene 7, of 32 x 32; name another folder, or remove this one`,
  );
  await expect(scenesSource({ ...source, first: 2 ** 20, size: 64 })).rejects.toThrow('got another scene 7');
  for (const setting of ['outdoor', 'indoor'] as const) {
    await expect(scenesSource({ ...source, setting })).rejects.toThrow(
      /got (another scene 7|scenes of another setting)/,
    );
  }
  await (await scenesSource({ ...source, first: 5 })).get(0);
  expect(readdirSync(join(source.keep, 'images'))).toEqual(['000005.png', '000007.png']);
  rmSync(folder, { recursive: true });
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

it('has samples to measure on, too, where nothing is scored and the source is a folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rass-feed-'));
  const { image } = drawScene({ seed: 1, width: 48, height: 48 });
  writeFileSync(join(folder, 'a.png'), encodePng(image));
  const source: SourceRecipe = { kind: 'folder', folder };
  const settings = { ...SETTINGS, data: { ...SETTINGS.data, source }, validation: { every: 0, samples: 3 } };
  const feed = await openFeed(settings);
  expect((await feed.validation()).map(({ id }) => id)).toEqual([join(folder, 'a.png')]);
  await feed.close();
  rmSync(folder, { recursive: true });
});

/** A program that trains on nothing but draws samples until one fails, as `rass train` does. */
function failing(folder: string): { status: number | null; stderr: string } {
  const settings = {
    ...SETTINGS,
    data: { ...SETTINGS.data, source: { kind: 'list', file: join(folder, 'all.txt') }, workers: 2 },
    validation: { every: 0, samples: 1 },
  };
  const program = `
    import { openFeed } from ${JSON.stringify(new URL('./feed.ts', import.meta.url).href)};
    const feed = await openFeed(${JSON.stringify(settings)});
    try {
      for await (const _ of feed.from(0, new AbortController().signal));
    } catch (error) {
      console.error(error.message);
      process.exitCode = 1;
    } finally {
      await feed.close();
    }`;
  writeFileSync(join(folder, 'program.mjs'), program);
  const { status, stderr } = spawnSync(process.execPath, [join(folder, 'program.mjs')], { encoding: 'utf8' });
  return { status, stderr };
}

it('ends with a line that names the sample where a thread fails at one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rass-failing-'));
  const { image } = drawScene({ seed: 1, width: 48, height: 48 });
  writeFileSync(join(folder, 'good.png'), encodePng(image));
  writeFileSync(join(folder, 'cut.png'), encodePng(image).subarray(0, 200));
  const lines = [...Array(7).fill('good.png'), 'cut.png'];
  writeFileSync(join(folder, 'all.txt'), lines.join('\n'));
  for (let i = 0; i < 4; i++) {
    const { status, stderr } = failing(folder);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^[^\n]*cut\.png: an image is whole[^\n]*\n$/)]);
    expect(stderr.startsWith(join(folder, 'cut.png'))).toBe(true);
  }
  rmSync(folder, { recursive: true });
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
});

describe('sources', () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rass-sources-'));
    for (const [kind, seeds] of [
      ['images', [1, 2]],
      ['other', [3]],
    ] as const) {
      mkdirSync(join(folder, kind));
      for (const seed of seeds) {
        const { image } = drawScene({ seed, width: 40, height: 32 });
        writeFileSync(join(folder, kind, `${seed}.png`), encodePng(image));
      }
    }
    mkdirSync(join(folder, 'annotations'));
    const labels = { width: 40, height: 32, data: new Uint8Array(40 * 32).fill(3) };
    for (const seed of [1, 2]) writeFileSync(join(folder, 'annotations', `${seed}.png`), encodeLabelsPng(labels));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const dataOf = (source: SourceRecipe): FeedSettings => ({
    ...SETTINGS,
    data: { ...SETTINGS.data, source },
    validation: { every: 0, samples: 2 },
  });

  it('reads files as well as scenes, and mixes them by their shares', async () => {
    const ade20k = { kind: 'ade20k', folder } as const;
    const own = (await steps(dataOf(ade20k), 0, 2)).flat(2);
    expect(new Set(own.map(({ id }) => id)).size).toBe(2);
    expect(own.every(({ labels }) => labels!.data.every((label) => label === 2))).toBe(true);
    const other = { kind: 'folder', folder: join(folder, 'other') } as const;
    const parts = [
      { source: ade20k, share: 3 },
      { source: other, share: 1 },
    ];
    const mixed = (await steps(dataOf({ kind: 'mix', parts }), 0, 30)).flat(2);
    const share = mixed.filter(({ id }) => id.startsWith(join(folder, 'images'))).length / mixed.length;
    expect(share).toBeGreaterThan(0.65);
    expect(share).toBeLessThan(0.85);
    expect(mixed.every(({ id, labels }) => (labels !== undefined) === id.startsWith(join(folder, 'images')))).toBe(
      true,
    );
    const kinds = [
      { source: ade20k, share: 1 },
      { source: { kind: 'scenes', size: 48, first: 3 } as const, share: 1 },
    ];
    // ADE20K's 150 names and those of scenes, which are among them in another order: labels go by names.
    const settings = dataOf({ kind: 'mix', parts: kinds });
    const feed = await openFeed(settings);
    const names = feed.classes.map(({ name }) => name);
    await feed.close();
    expect(names).toEqual(ADE20K_CLASSES.map(({ name }) => name));
    const both = (await steps({ ...settings, degradation: 'none' }, 0, 4)).flat(2);
    const drawn = both.filter(({ id }) => id.startsWith('scene '));
    expect([drawn.length > 2, drawn.length < 14]).toEqual([true, true]);
    for (const { id, labels } of both) {
      const present = [...new Set(labels!.data)].filter((label) => label !== 255).map((label) => names[label]!);
      const seed = Number(id.replace('scene ', ''));
      const own = id.startsWith('scene ')
        ? [...new Set(drawScene({ seed, width: 48, height: 48 }).labels.data)].map((each) => SCENE_CLASSES[each]?.name)
        : ['sky'];
      for (const name of present) expect(own).toContain(name);
      expect(present.length).toBeGreaterThan(0);
    }
  });

  it('judges by the classes that are trained, in their order, and degrades no set of its own unasked', async () => {
    const other = join(folder, 'judged');
    mkdirSync(join(other, 'images'), { recursive: true });
    mkdirSync(join(other, 'annotations'));
    const { image } = drawScene({ seed: 1, width: 32, height: 32 });
    writeFileSync(join(other, 'images', 'a.png'), encodePng(image));
    const labels = { width: 32, height: 32, data: new Uint8Array(32 * 32).fill(1) };
    writeFileSync(join(other, 'annotations', 'a.png'), encodeLabelsPng(labels));
    const classes = (...names: string[]) =>
      writeFileSync(join(other, 'classes.json'), JSON.stringify(names.map((name) => ({ name, colour: [1, 2, 3] }))));
    classes('sky', 'building');
    const source = { kind: 'ade20k', folder: other } as const;
    const judged = async (validation: object, data: SourceRecipe = { kind: 'ade20k', folder }): Promise<Sample> => {
      const feed = await openFeed({ ...dataOf(data), validation: { every: 1, samples: 1, source, ...validation } });
      const [sample] = await feed.validation();
      await feed.close();
      return sample!;
    };
    const sample = await judged({});
    // Building is 1 here, and 1 of ADE20K, sky the other way round.
    expect(new Set(sample.labels!.data)).toEqual(new Set([1]));
    expect(sample.degraded).toEqual(sample.clean);
    expect((await judged({ degradation: 'rass' })).degraded).not.toEqual(sample.clean);
    const drawn = await judged({ source: undefined }, { kind: 'scenes', size: 48, first: 3 });
    expect(drawn.degraded).not.toEqual(drawn.clean);
    classes('building', 'sky');
    expect(new Set((await judged({})).labels!.data)).toEqual(new Set([2]));
    classes('building', 'lesion');
    await expect(judged({})).rejects.toThrow('each class of a data set is one of the new ones; got "lesion"');
  });

  it('says what is missing', async () => {
    const settings = { ...dataOf({ kind: 'ade20k', folder }), validation: { every: 1, samples: 2 } };
    await expect(openFeed(settings)).rejects.toThrow(
      'validation has a source of its own, since "ade20k" is trained on',
    );
    await expect(openFeed(dataOf({ kind: 'ade20k', folder, split: 'x' }))).rejects.toThrow(
      'got no folder; check the path',
    );
  });
});
