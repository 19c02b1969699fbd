import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { drawScene, SCENE_CLASSES } from './index.ts';

const hashOf = (seed: number): string => {
  const { image, labels } = drawScene({ seed, width: 96, height: 64 });
  return createHash('sha256').update(image.data).update(labels.data).digest('hex').slice(0, 16);
};

it('draws the same bytes for a seed, on every machine', () => {
  expect([0, 1, 2].map(hashOf)).toEqual(['c3bd8e733ef3c978', '8e89398b2422b49a', 'cb21e36a50ac17c6']);
  expect(hashOf(0)).not.toBe(hashOf(2 ** 40));
});

it('has every class often enough to be learnt, and leaves nothing unlabelled', () => {
  const scenes = 100;
  const present = SCENE_CLASSES.map(() => 0);
  for (let seed = 0; seed < scenes; seed++) {
    const { labels } = drawScene({ seed, width: 64, height: 64 });
    const counts = SCENE_CLASSES.map(() => 0);
    for (const label of labels.data) counts[label]++;
    expect(counts.reduce((a, b) => a + b)).toBe(64 * 64);
    counts.forEach((count, place) => {
      if (count >= 8) present[place]++;
    });
  }
  SCENE_CLASSES.forEach(({ name }, place) => {
    expect(present[place], name).toBeGreaterThanOrEqual(0.12 * scenes);
  });
});

it.each([0, 1, 2, 3])('is the same scene at another size: %s', (seed) => {
  const small = drawScene({ seed, width: 64, height: 64 }).labels;
  const large = drawScene({ seed, width: 192, height: 192 }).labels;
  let same = 0;
  for (let y = 0; y < 64; y++) {
    for (let x = 0; x < 64; x++) if (small.data[y * 64 + x] === large.data[(3 * y + 1) * 192 + 3 * x + 1]) same++;
  }
  // Leaves and edges of one pixel differ.
  expect(same / 64 ** 2).toBeGreaterThan(0.85);
});

it('draws pictures with light and dark, colours and detail', () => {
  const { image } = drawScene({ seed: 2, width: 128, height: 96 });
  expect(image.data.length).toBe(128 * 96 * 3);
  const sorted = image.data.toSorted();
  expect(sorted[Math.floor(0.02 * sorted.length)]).toBeLessThan(60);
  expect(sorted[Math.floor(0.98 * sorted.length)]).toBeGreaterThan(180);
  let differences = 0;
  for (let i = 3; i < image.data.length; i++) differences += Math.abs(image.data[i] - image.data[i - 3]);
  expect(differences / image.data.length).toBeGreaterThan(3);
});

it.each([
  [16, 16],
  [17, 301],
  [301, 17],
])('is drawn at %s x %s', (width, height) => {
  const { image, labels } = drawScene({ seed: 5, width, height });
  expect([image.data.length, labels.data.length]).toEqual([3 * width * height, width * height]);
});

it("names ADE20K's classes by its numbers", () => {
  const named = Object.fromEntries(SCENE_CLASSES.map(({ name, index }) => [index, name]));
  expect(named).toMatchObject({ 1: 'building', 2: 'sky', 4: 'tree', 6: 'road', 12: 'person', 20: 'car', 21: 'water' });
  expect(new Set(SCENE_CLASSES.map(({ colour }) => `${colour}`)).size).toBe(SCENE_CLASSES.length);
});

it('says what is wrong', () => {
  expect(() => drawScene({ seed: -1, width: 64, height: 64 })).toThrow(
    'drawScene: a seed is a whole number from 0; got -1; give one, such as 0',
  );
  expect(() => drawScene({ seed: 0, width: 64.5, height: 64 })).toThrow(
    'drawScene: sides are whole numbers from 16 to 4096; got 64.5 x 64; draw it at such a size',
  );
  expect(() => drawScene({ seed: 0, width: 64, height: 8 })).toThrow('got 64 x 8');
});
