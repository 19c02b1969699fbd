import { expect, it } from 'vitest';
import type { Pipeline } from '../pipeline.ts';
import { classAreas, openTagger } from './taggers.ts';

const classes = ['sky', 'road', 'car'].map((name) => ({ name, colour: [0, 0, 0] as const }));
/** 200 pixels: one of a car, the rest a third road and two thirds sky, some ignored. */
const labels = {
  width: 20,
  height: 10,
  data: Uint8Array.from({ length: 200 }, (_, i) => (i === 0 ? 2 : i < 10 ? 255 : i % 3 === 0 ? 1 : 0)),
};
const image = { width: 20, height: 10, data: new Uint8Array(600) };
const segmenter = { classes, segment: async () => labels } as unknown as Pipeline;

it('counts what a label map has, the largest first', () => {
  const areas = classAreas(labels, classes);
  expect(areas.map(({ name, pixels }) => [name, pixels])).toEqual([
    ['sky', 127],
    ['road', 63],
    ['car', 1],
  ]);
  expect(areas[0]!.share).toBeCloseTo(127 / 200, 9);
});

it('names nothing, what is given, what the labels have, or what is found', async () => {
  const shown = { image, labels };
  expect(await openTagger('none', { classes })(shown)).toEqual([]);
  expect(await openTagger(['cat'], { classes })(shown)).toEqual(['cat']);
  expect(await openTagger('labels', { classes })(shown)).toEqual(['sky', 'road']);
  expect(await openTagger('found', { segmenter, classes })({ image })).toEqual(['sky', 'road']);
});

it('says what is missing', async () => {
  expect(() => openTagger('found', { classes })).toThrow('tags: found ones need a model that segments; got none');
  await expect(openTagger('labels', { classes })({ image })).rejects.toThrow(
    'tags: the true labels are known; got none',
  );
});
