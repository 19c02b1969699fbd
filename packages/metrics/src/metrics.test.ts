import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import {
  AveragePrecision,
  areaOf,
  BoundaryIou,
  boundaryOf,
  boundaryWidth,
  ConfusionMatrix,
  decodeMask,
  encodeMask,
  fromCocoRle,
  type Image,
  type LabelMap,
  maskIou,
  type PanopticMap,
  PanopticQuality,
  psnr,
  ssim,
  toCocoRle,
  waveletColourFix,
} from './index.ts';

const labels = (width: number, height: number, ...data: number[]): LabelMap => ({ width, height, data });
const grey = (width: number, height: number, value: (i: number) => number): Image => ({
  width,
  height,
  channels: 1,
  data: Float64Array.from({ length: width * height }, (_, i) => value(i)),
});

describe('confusion', () => {
  it('counts by hand', () => {
    const scores = new ConfusionMatrix({ classes: 3 })
      .add(labels(3, 2, 0, 0, 1, 1, 2, 2), labels(3, 2, 0, 1, 1, 1, 255, 0))
      .scores();
    // Truth 0: one right, one said to be 2; truth 1: two right, one said to be 0.
    expect(scores.perClass.map(({ iou }) => iou)).toEqual([1 / 3, 2 / 3, 0]);
    expect(scores.pixelAccuracy).toBe(3 / 5);
    expect(scores.miou).toBeCloseTo(1 / 3, 12);
    expect(scores.fwiou).toBeCloseTo((2 * (1 / 3) + 3 * (2 / 3)) / 5, 12);
    expect(scores.perClass[1]).toEqual({ iou: 2 / 3, accuracy: 2 / 3, precision: 1, dice: 0.8, pixels: 3 });
  });

  it('of nothing but ignored pixels has no score', () => {
    const { miou, pixelAccuracy } = new ConfusionMatrix({ classes: 2 })
      .add(labels(1, 2, 0, 1), labels(1, 2, 255, 255))
      .scores();
    expect([miou, pixelAccuracy]).toEqual([Number.NaN, Number.NaN]);
  });

  it('says what is wrong, and counts nothing then', () => {
    const matrix = new ConfusionMatrix({ classes: 150 });
    const truth = labels(2, 1, 0, 1);
    const cases: [LabelMap, LabelMap, string][] = [
      [
        labels(2, 1, 0, 150),
        truth,
        'ConfusionMatrix: labels are from 0 to 149, or 255 in the truth; got 150 at 1 of the prediction; look at the label map',
      ],
      [labels(2, 1, 0, 1), labels(2, 1, 0, -1), 'got -1 at 1 of the truth'],
      [labels(2, 1, 0, Number.NaN), truth, 'got NaN at 1 of the prediction'],
      [
        labels(1, 2, 0, 1),
        truth,
        'ConfusionMatrix: prediction and truth have one size; got 1 x 2 and 2 x 1; resize the prediction',
      ],
      [
        labels(2, 1, 0),
        truth,
        'ConfusionMatrix: a label map has width x height labels; got 1 for 2 x 1 in the prediction; give its own size',
      ],
    ];
    for (const [prediction, real, message] of cases) expect(() => matrix.add(prediction, real)).toThrow(message);
    expect(Math.max(...matrix.counts)).toBe(0);
    expect(() => matrix.merge(new ConfusionMatrix({ classes: 2 }))).toThrow(
      'ConfusionMatrix: shards that are merged were scored by the same rules; got {"classes":150,"ignore":255} and {"classes":2,"ignore":255}; score them again',
    );
    expect(() => new ConfusionMatrix({ classes: 0 })).toThrow(
      'ConfusionMatrix: there is a whole number of classes, 1 or more; got 0; give it',
    );
    expect(() => ConfusionMatrix.fromJSON({ classes: 2, ignore: 255, counts: [1] })).toThrow(
      '2 classes have 4 counts, 0 or more; got 1; the file is damaged',
    );
  });
});

describe('boundaries', () => {
  it('are as wide as the diagonal says, and go along the edge of the image', () => {
    expect(boundaryWidth(labels(512, 512))).toBe(14);
    expect(boundaryWidth(labels(4, 3))).toBe(1);
    const map = labels(5, 5, ...Array<number>(25).fill(7));
    expect([...boundaryOf(map, 1)].filter((value) => value === 0).length).toBe(9);
    expect([...boundaryOf(map, 2)].filter((value) => value === 0).length).toBe(1);
  });

  it('score 1 for the truth itself', () => {
    const map = labels(6, 6, ...Array.from({ length: 36 }, (_, i) => (i % 6 < 3 ? 0 : 1)));
    expect(new BoundaryIou({ classes: 3 }).add(map, map).scores()).toEqual({ mean: 1, perClass: [1, 1, Number.NaN] });
    expect(() => new BoundaryIou({ classes: 2, dilation: 0 })).toThrow(
      'BoundaryIou: the dilation is a share of the diagonal, in (0, 1); got 0; give 0.02',
    );
    expect(() => new BoundaryIou({ classes: 2 }).merge(new BoundaryIou({ classes: 2, dilation: 0.1 }))).toThrow(
      'score them again',
    );
  });
});

describe('panoptic quality', () => {
  const map = (ids: number[], ...segments: PanopticMap['segments']): PanopticMap => ({
    width: ids.length,
    height: 1,
    ids,
    segments,
  });

  it('by hand: matches, what is missed and made up, void and crowds', () => {
    const truth = map(
      [1, 1, 1, 1, 2, 2, 0, 0, 3, 3],
      { id: 1, category: 5 },
      { id: 2, category: 5 },
      { id: 3, category: 5, isCrowd: true },
    );
    // Three of four pixels found; nothing on 2; one segment in the void, one in the crowd, and one of another category on 2.
    const prediction = map(
      [1, 1, 1, 0, 9, 9, 4, 4, 6, 6],
      { id: 1, category: 5 },
      { id: 4, category: 5 },
      { id: 6, category: 5 },
      { id: 9, category: 7 },
    );
    const { perCategory, all } = new PanopticQuality({ things: [5] }).add(prediction, truth).scores();
    expect(perCategory[5]).toEqual({ pq: 0.75 / 1.5, sq: 0.75, rq: 1 / 1.5, categories: 1 });
    expect(perCategory[7]).toEqual({ pq: 0, sq: 0, rq: 0, categories: 1 });
    expect(all.pq).toBeCloseTo(0.25, 12);
  });

  it('says what is wrong', () => {
    const good = map([1, 1], { id: 1, category: 0 });
    const cases: [PanopticMap, string][] = [
      [
        map([1, 2], { id: 1, category: 0 }),
        "PanopticQuality: each number is a segment's; got 2 at 1 of the prediction; list the segment, or use 0",
      ],
      [
        map([1, 1], { id: 1, category: 0 }, { id: 1, category: 1 }),
        'PanopticQuality: segments have numbers of their own, not 0; got 1, 1 in the prediction; number them anew',
      ],
      [
        map([1, 1, 1], { id: 1, category: 0 }),
        'PanopticQuality: prediction and truth have one size; got 3 x 1 and 2 x 1; resize the prediction',
      ],
      [
        { ...good, height: 2 },
        'PanopticQuality: a map has width x height numbers; got 2 for 2 x 2 in the prediction; give its own size',
      ],
    ];
    for (const [prediction, message] of cases)
      expect(() => new PanopticQuality().add(prediction, good)).toThrow(message);
    expect(() => new PanopticQuality({ things: [1] }).merge(new PanopticQuality())).toThrow('score them again');
    expect(new PanopticQuality().scores().all.pq).toBeNaN();
  });
});

describe('masks as runs', () => {
  it('go column by column, and back', () => {
    const mask = [0, 1, 1, 1, 0, 0];
    const runs = encodeMask(mask, { width: 3, height: 2 });
    expect(runs.counts).toEqual([1, 2, 1, 1, 1]);
    expect([...decodeMask(runs)]).toEqual(mask);
    expect(areaOf(runs)).toBe(3);
    expect(encodeMask([1, 1], { width: 2, height: 1 }).counts).toEqual([0, 2]);
    expect(encodeMask([0, 0], { width: 2, height: 1 }).counts).toEqual([2]);
  });

  it('survive the text form, long runs and falling ones too', () => {
    const long = { width: 1000, height: 1000, counts: [5, 3, 400_000, 7, 20, 599_965] };
    expect(fromCocoRle(toCocoRle(long))).toEqual(long);
    // As pycocotools writes them.
    expect(toCocoRle(encodeMask([1, 0, 0, 1, 1, 0], { width: 3, height: 2 }))).toEqual({
      size: [2, 3],
      counts: '021O1',
    });
    expect(toCocoRle(encodeMask([1, 0, 1, 1], { width: 2, height: 2 }))).toEqual({ size: [2, 2], counts: '021O' });
  });

  it('overlap', () => {
    const [a, b] = [
      encodeMask([1, 1, 0, 0], { width: 4, height: 1 }),
      encodeMask([0, 1, 1, 1], { width: 4, height: 1 }),
    ];
    expect(maskIou(a, b)).toBe(1 / 4);
    expect(maskIou(a, b, true)).toBe(1 / 2);
    expect(maskIou(encodeMask([0, 0], { width: 2, height: 1 }), encodeMask([0, 0], { width: 2, height: 1 }))).toBe(0);
  });

  it('say what is wrong', () => {
    expect(() => encodeMask([1], { width: 2, height: 2 })).toThrow(
      'encodeMask: a mask has width x height values; got 1 for 2 x 2; give its own size',
    );
    expect(() => fromCocoRle({ size: [2, 2], counts: [3] })).toThrow(
      "fromCocoRle: runs fill the image, 2 x 2; got 3 pixels; the size is another's, or the text damaged",
    );
    expect(() => fromCocoRle({ size: [2, 2], counts: 'P' })).toThrow("fromCocoRle: counts are a text of COCO's");
    expect(() =>
      maskIou(encodeMask([1], { width: 1, height: 1 }), encodeMask([1, 1], { width: 2, height: 1 })),
    ).toThrow('masks that are compared have one size; got 1 x 1 and 2 x 1');
    const mask = encodeMask([1], { width: 1, height: 1 });
    expect(() => new AveragePrecision().add([{ mask, category: 1, score: Number.NaN }], [])).toThrow(
      'AveragePrecision: scores are numbers; got NaN for category 1; leave the instance out',
    );
    expect(new AveragePrecision().scores().ap).toBeNaN();
  });

  it('found exactly have a precision of 1', () => {
    const mask = encodeMask(Array<number>(100).fill(1), { width: 10, height: 10 });
    const { ap, ar1, apSmall, apLarge, perCategory } = new AveragePrecision()
      .add([{ mask, category: 3, score: 0.5 }], [{ mask, category: 3 }])
      .scores();
    expect([ap, ar1, apSmall, perCategory[3]]).toEqual([1, 1, 1, 1].map((value) => expect.closeTo(value, 9)));
    expect(apLarge).toBeNaN();
  });
});

describe('image scores', () => {
  it('by hand', () => {
    const [a, b] = [grey(16, 16, () => 100), grey(16, 16, () => 110)];
    expect(psnr(a, b)).toBeCloseTo(10 * Math.log10(255 ** 2 / 100), 9);
    expect(psnr(a, a)).toBe(Number.POSITIVE_INFINITY);
    const c1 = (0.01 * 255) ** 2;
    expect(ssim(a, b)).toBeCloseTo((2 * 100 * 110 + c1) / (100 ** 2 + 110 ** 2 + c1), 9);
    expect(ssim(a, a)).toBeCloseTo(1, 12);
    // Turned around: no structure in common.
    const waves = grey(16, 16, (i) => 128 + 100 * Math.sin(i));
    expect(
      ssim(
        waves,
        grey(16, 16, (i) => 128 - 100 * Math.sin(i)),
      ),
    ).toBeLessThan(0.01);
  });

  it('leave edges out where asked', () => {
    const edge = grey(16, 16, (i) => (i % 16 === 0 ? 0 : 100));
    expect(
      psnr(
        edge,
        grey(16, 16, () => 100),
        { border: 1 },
      ),
    ).toBe(Number.POSITIVE_INFINITY);
  });

  it('say what is wrong', () => {
    const a = grey(16, 16, () => 1);
    expect(() =>
      psnr(
        a,
        grey(16, 15, () => 1),
      ),
    ).toThrow('psnr: images that are compared have one size; got 16 x 16 x 1 and 16 x 15 x 1; resize or crop one');
    expect(() => psnr(a, { ...a, data: [1] })).toThrow(
      'psnr: an image has width x height x channels values; got 1 for 16 x 16 x 1; give its own size',
    );
    expect(() =>
      ssim(
        grey(8, 8, () => 1),
        grey(8, 8, () => 1),
      ),
    ).toThrow('ssim: an image has at least 11 rows and columns; got 8 x 8; compare larger ones');
    expect(() => psnr(a, a, { border: 8 })).toThrow(
      'psnr: the border leaves something of 16 x 16; got 8; give a smaller one',
    );
    expect(() =>
      ssim(
        a,
        grey(16, 16, (i) => (i === 3 ? Number.NaN : 1)),
      ),
    ).toThrow('ssim: values are numbers from 0 to 255; got NaN at 3; look at what made the image');
    expect(() =>
      waveletColourFix(
        a,
        grey(8, 8, () => 1),
      ),
    ).toThrow('waveletColourFix: images that are compared have one size');
  });
});

const data = process.env.RASS_TEST_DATA;

describe.skipIf(!data)('photographs that OSEDiff has restored', () => {
  const folder = join(data ?? '', 'restore-mini');
  const read = (file: string): Image => {
    const { width, height, channels, data: values } = decode(readFileSync(join(folder, file)));
    return { width, height, channels: channels as 3, data: values };
  };
  const published: Record<string, { psnr: number; ssim: number }> = data
    ? JSON.parse(readFileSync(join(folder, 'osediff/metrics.json'), 'utf8'))
    : { none: {} };

  it.each(Object.entries(published))('have the scores that were published: %s', (name, expected) => {
    const [restored, reference] = [read(`osediff/${name}.png`), read(`hq/${name}.png`)];
    expect(Math.abs(psnr(restored, reference) - expected.psnr)).toBeLessThan(1e-3);
    expect(Math.abs(ssim(restored, reference) - expected.ssim)).toBeLessThan(1e-3);
  });
});
