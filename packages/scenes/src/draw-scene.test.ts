import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { drawScene, IGNORED, SCENE_CLASSES, SCENE_KINDS, type SceneKind } from './index.ts';

const hashOf = (seed: number, kind: SceneKind): string => {
  const { image, labels } = drawScene({ seed, kind, width: 96, height: 64 });
  return createHash('sha256').update(image.data).update(labels.data).digest('hex').slice(0, 16);
};

it.each<[SceneKind, string[]]>([
  ['outdoor', ['8e51c21a4b493363', 'd648598d94161c1d', '112c7d923d511394']],
  ['indoor', ['99f06280019cbe23', 'fb829b40e2f63540', '58ef546328b53d09']],
])('draws the same bytes for a seed, on every machine: %s', (kind, hashes) => {
  expect([0, 1, 2].map((seed) => hashOf(seed, kind))).toEqual(hashes);
  expect(hashOf(0, kind)).not.toBe(hashOf(2 ** 40, kind));
});

it('is outdoors or indoors by its seed, half of them each', () => {
  const SCENES = 60;
  let outdoor = 0;
  for (let seed = 0; seed < SCENES; seed++) {
    const { data } = drawScene({ seed, width: 32, height: 32 }).image;
    const [out, room] = SCENE_KINDS.map((kind) => drawScene({ seed, kind, width: 32, height: 32 }).image.data);
    const same = [out, room].map((other) => other?.every((value, i) => value === data[i]));
    expect(same.filter(Boolean).length).toBe(1);
    if (same[0]) outdoor++;
  }
  expect(outdoor / SCENES).toBeGreaterThan(0.35);
  expect(outdoor / SCENES).toBeLessThan(0.65);
});

it('has every class often enough to be learnt, and leaves next to nothing unlabelled', () => {
  const SCENES = 200;
  const present = SCENE_CLASSES.map(() => 0);
  let ignored = 0;
  for (let seed = 0; seed < SCENES; seed++) {
    const counts = new Array(IGNORED + 1).fill(0);
    for (const label of drawScene({ seed, width: 64, height: 64 }).labels.data) counts[label]++;
    ignored += counts[IGNORED];
    expect(SCENE_CLASSES.reduce((sum, _, place) => sum + counts[place], counts[IGNORED])).toBe(64 * 64);
    SCENE_CLASSES.forEach((_, place) => {
      if (counts[place] >= 8) present[place]++;
    });
  }
  expect(ignored / (SCENES * 64 * 64)).toBeLessThan(0.01);
  SCENE_CLASSES.forEach(({ name }, place) => {
    expect(present[place], name).toBeGreaterThanOrEqual(0.08 * SCENES);
  });
});

it('draws no sky indoors and no ceiling outdoors', () => {
  const shareOf = (name: string, kind: SceneKind) => {
    const place = SCENE_CLASSES.findIndex((each) => each.name === name);
    const of = (seed: number) => drawScene({ seed, kind, width: 48, height: 48 }).labels.data;
    return [0, 1, 2, 3, 4, 5].map((seed) => of(seed).filter((label) => label === place).length / 48 ** 2);
  };
  expect(shareOf('ceiling', 'outdoor')).toEqual([0, 0, 0, 0, 0, 0]);
  expect(shareOf('road', 'indoor')).toEqual([0, 0, 0, 0, 0, 0]);
  expect(Math.min(...shareOf('wall', 'indoor'))).toBeGreaterThan(0.05);
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
  expect(named).toMatchObject({ 1: 'building', 2: 'sky', 4: 'tree', 6: 'road', 12: 'person', 20: 'car', 36: 'lamp' });
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
  expect(() => drawScene({ seed: 0, width: 64, height: 64, kind: 'space' as SceneKind })).toThrow(
    'drawScene: a kind is one of outdoor, indoor; got space; leave it out for either',
  );
});
