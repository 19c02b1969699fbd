import { expectClose, loadGolden } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import {
  AveragePrecision,
  adainColourFix,
  BoundaryIou,
  type CocoRle,
  ConfusionMatrix,
  fromCocoRle,
  type Image,
  type LabelMap,
  type PanopticMap,
  PanopticQuality,
  waveletColourFix,
} from './index.ts';

const g = loadGolden('metrics/scores');
const count = (kind: string): number => g.names(`${kind}/`).filter((name) => name.endsWith('truth')).length;

function labelMap(name: string): LabelMap {
  const { shape, values } = g.raw(name);
  return { width: shape[1], height: shape[0], data: values };
}

const pairs = Array.from(
  { length: count('labels') },
  (_, i) => [labelMap(`labels/${i}/prediction`), labelMap(`labels/${i}/truth`)] as const,
);

describe('confusion against torchmetrics', () => {
  const { iou, miou, fwiou, accuracy, pixelAccuracy, precision, dice } = g.config.confusion;

  it('agrees, with ignored pixels and classes that nobody has, whole and in shards', () => {
    const shards = pairs.map(([prediction, truth]) => new ConfusionMatrix({ classes: 6 }).add(prediction, truth));
    const whole = pairs.reduce(
      (matrix, [prediction, truth]) => matrix.add(prediction, truth),
      new ConfusionMatrix({ classes: 6 }),
    );
    const merged = shards
      .slice(1)
      .reduce((a, b) => a.merge(ConfusionMatrix.fromJSON(JSON.parse(JSON.stringify(b)))), shards[0]);
    expect([...merged.counts]).toEqual([...whole.counts]);
    const scores = whole.scores();
    expect(scores.miou).toBeCloseTo(miou, 6);
    expect(scores.fwiou).toBeCloseTo(fwiou, 6);
    expect(scores.pixelAccuracy).toBeCloseTo(pixelAccuracy, 6);
    scores.perClass.forEach((each, i) => {
      // Where there is nothing to divide by torchmetrics has 0.
      expect(each.iou || 0).toBeCloseTo(iou[i], 6);
      expect(each.accuracy || 0).toBeCloseTo(accuracy[i], 6);
      expect(each.precision || 0).toBeCloseTo(precision[i], 6);
      expect(each.dice || 0).toBeCloseTo(dice[i], 6);
    });
    expect(scores.perClass[5].iou).toBeNaN();
    expect(scores.perClass[4]).toMatchObject({ iou: 0, pixels: 0 });
  });

  it('leaves classes out that only the prediction has, where asked', () => {
    const matrix = pairs.reduce(
      (all, [prediction, truth]) => all.add(prediction, truth),
      new ConfusionMatrix({ classes: 6 }),
    );
    expect(matrix.scores({ predictedOnly: 'left out' }).miou).toBeCloseTo((miou * 5) / 4, 6);
  });
});

it('boundary IoU is that of masks eroded step by step', () => {
  const boundary = pairs.reduce(
    (all, [prediction, truth]) => all.add(prediction, truth),
    new BoundaryIou({ classes: 6, dilation: 0.1 }),
  );
  const { perClass, mean } = boundary.scores();
  const expected: (number | null)[] = g.config.boundary;
  perClass.forEach((score, i) => {
    if (expected[i] === null) expect(score).toBeNaN();
    else expect(score).toBeCloseTo(expected[i], 9);
  });
  const there = expected.filter((score) => score !== null);
  expect(mean).toBeCloseTo(there.reduce((a, b) => a + b, 0) / there.length, 9);
});

/** A map of categories and instances as segments. */
function panopticMap(name: string): PanopticMap {
  const { shape, values } = g.raw(name);
  const [height, width] = shape;
  const segments = new Map<string, { id: number; category: number }>();
  const ids = Array.from({ length: width * height }, (_, i) => {
    const [category, instance] = [values[2 * i], values[2 * i + 1]];
    if (category === 9) return 0;
    const key = `${category} ${instance}`;
    const segment = segments.get(key) ?? { id: segments.size + 1, category };
    segments.set(key, segment);
    return segment.id;
  });
  return { width, height, ids, segments: [...segments.values()] };
}

it('panoptic quality is that of torchmetrics, with void, whole and in shards', () => {
  const maps = Array.from(
    { length: count('panoptic') },
    (_, i) => [panopticMap(`panoptic/${i}/prediction`), panopticMap(`panoptic/${i}/truth`)] as const,
  );
  const quality = maps
    .map(([prediction, truth]) => new PanopticQuality({ things: [0, 1] }).add(prediction, truth))
    .reduce((a, b) => a.merge(b));
  const { all, perCategory, things, stuff } = quality.scores();
  expect(all.pq).toBeCloseTo(g.config.panoptic.pq, 6);
  expect([things.categories, stuff.categories]).toEqual([2, 2]);
  Object.values(perCategory).forEach(({ pq, sq, rq }, i) => {
    const [expectedPq, expectedSq, expectedRq] = g.config.panoptic.perClass[i];
    expect([pq, sq, rq].map((value) => value.toFixed(6))).toEqual(
      [expectedPq, expectedSq, expectedRq].map((value: number) => value.toFixed(6)),
    );
  });
});

interface CocoAnnotation {
  image_id: number;
  category_id: number;
  segmentation: CocoRle;
  area: number;
  iscrowd: number;
  score: number;
}

it("average precision is pycocotools', with crowds, equal scores and categories without instances, whole and in shards", () => {
  const { annotations, found, stats }: Record<string, CocoAnnotation[]> & { stats: never } = g.config.instances;
  const ofImage = (all: CocoAnnotation[], image: number) => all.filter(({ image_id }) => image_id === image);
  const shards = [0, 1, 2, 3].map((image) =>
    new AveragePrecision().add(
      ofImage(found, image).map(({ category_id, segmentation, score }) => ({
        mask: fromCocoRle(segmentation),
        category: category_id,
        score,
      })),
      ofImage(annotations, image).map(({ category_id, segmentation, area, iscrowd }) => ({
        mask: fromCocoRle(segmentation),
        category: category_id,
        area,
        isCrowd: iscrowd === 1,
      })),
    ),
  );
  const scores = shards.reduce((a, b) => a.merge(b)).scores();
  for (const [name, expected] of Object.entries(stats as Record<string, number>)) {
    expect(scores[name as 'ap'], name).toBeCloseTo(expected, 6);
  }
});

describe('colour fixes', () => {
  const image = (name: string): Image => {
    const { shape, values } = g.raw(`colour/${name}`);
    return { width: shape[1], height: shape[0], channels: 3, data: values };
  };

  it.each([
    ['adain', adainColourFix],
    ['wavelet', waveletColourFix],
  ] as const)('are those of PyTorch to a level: %s', async (name, fix) => {
    const { data } = fix(image('content'), image('style'));
    const expected = image(name).data;
    // Rounding to whole levels.
    const furthest = Math.max(...Array.from(data, (value, i) => Math.abs(value - expected[i])));
    expect(furthest).toBeLessThanOrEqual(0.501);
    await expectClose(Array.from(data), expected, { relative: 0.002 });
  });
});
