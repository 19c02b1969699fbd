import type { LabelMap, RgbImage } from '@rass/images';
import { loadGolden, seededRandom } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import {
  augmentSample,
  type ColourChange,
  centreSample,
  changeColours,
  type DatasetSample,
  drawColourChange,
  shortestEdge,
  shortSides,
} from '../index.ts';

/** A sample whose pixels and labels tell where they were. */
function sampleOf(width: number, height: number): DatasetSample {
  const places = Array.from({ length: width * height }, (_, i) => [i % width, Math.floor(i / width), 7]);
  const image: RgbImage = { width, height, data: Uint8Array.from(places.flat()) };
  const labels: LabelMap = { width, height, data: Uint8Array.from(places, ([x, y]) => (x! + y!) % 5) };
  return { id: 'made', image, labels, degraded: { ...image, data: image.data.map((v) => v) } };
}

describe('changeColours', () => {
  const golden = loadGolden('datasets/colour');
  const { changes } = golden.config as { changes: ColourChange[] };
  const { shape, values } = golden.raw('in/image');
  const image = { width: shape[1]!, height: shape[0]!, data: Uint8Array.from(values) };
  it.each(changes.map((change, i) => [JSON.stringify(change), change, i] as const))(
    'is as OpenCV: %s',
    (_, change, i) => {
      const expected = Uint8Array.from(golden.raw(`out/${i}`).values);
      const off = changeColours(image, change).data.map((level, at) => Math.abs(level - expected[at]!));
      // OpenCV turns hues back in single precision, so that a level may round the other way.
      expect(Math.max(...off)).toBeLessThanOrEqual(change.contrast === undefined ? 1 : 2);
      expect(off.filter((each) => each > 0).length / off.length).toBeLessThan(0.01);
    },
  );

  it('draws each part for every other image', () => {
    const random = seededRandom(1);
    const drawn = Array.from({ length: 4000 }, () => drawColourChange(random));
    for (const part of ['brightness', 'contrast', 'saturation', 'hue', 'contrastLast'] as const) {
      const share = drawn.filter((each) => each[part] !== undefined && each[part] !== false).length / drawn.length;
      expect(share, part).toBeGreaterThan(0.4);
      expect(share, part).toBeLessThan(0.6);
    }
    const hues = drawn.flatMap(({ hue }) => (hue === undefined ? [] : [hue]));
    // random.randint(-18, 18) of Python: 37 whole numbers, all as likely, both ends among them.
    expect(new Set(hues)).toEqual(new Set(Array.from({ length: 37 }, (_, i) => i - 18)));
    for (const end of [-18, 18])
      expect(Math.abs(hues.filter((hue) => hue === end).length / hues.length - 1 / 37), `${end}`).toBeLessThan(0.012);
  });
});

describe('augmentSample', () => {
  it('cuts and mirrors image, labels and bad photograph alike', () => {
    const random = seededRandom(2);
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      const { image, labels, degraded } = augmentSample(sampleOf(40, 30), { crop: 16 }, random);
      expect([image.width, image.height, labels!.width, degraded!.height]).toEqual([16, 16, 16, 16]);
      expect(degraded!.data).toEqual(image.data);
      const [x, y] = [image.data[0]!, image.data[1]!];
      const step = image.data[3]! - x;
      expect(Math.abs(step)).toBe(1);
      labels!.data.forEach((label, at) => {
        expect(label).toBe((image.data[3 * at]! + image.data[3 * at + 1]!) % 5);
      });
      seen.add(`${step > 0 ? x : x - 15},${y},${step}`);
    }
    expect(seen.size).toBeGreaterThan(40);
  });

  it('brings the shorter side to one of its sizes first, and fills up what is too small', () => {
    expect(shortSides(512)).toEqual([256, 307, 358, 409, 460, 512, 563, 614, 665, 716, 768, 819, 870, 921, 972, 1024]);
    expect(shortestEdge({ width: 640, height: 480 }, { side: 512, longest: 2048 })).toEqual({
      width: 683,
      height: 512,
    });
    expect(shortestEdge({ width: 3000, height: 300 }, { side: 512, longest: 2048 })).toEqual({
      width: 2048,
      height: 205,
    });
    const { image, labels } = augmentSample(
      sampleOf(40, 30),
      { crop: 32, shortSides: [15], flip: false },
      seededRandom(1),
    );
    expect([image.width, image.height]).toEqual([32, 32]);
    expect(labels!.data.filter((label) => label === 255).length).toBe(32 * 32 - 20 * 15);
    expect(Array.from(image.data.slice(-3))).toEqual([128, 128, 128]);
  });

  it('fills up last, to the right and below: neither colours nor mirrors reach what is filled', () => {
    const random = seededRandom(5);
    for (let i = 0; i < 40; i++) {
      const { image, labels, degraded } = augmentSample(sampleOf(10, 6), { crop: 16, colour: true }, random);
      for (let at = 0; at < 16 * 16; at++) {
        const isFilled = at % 16 >= 10 || at >= 6 * 16;
        expect(labels!.data[at] === 255).toBe(isFilled);
        if (!isFilled) continue;
        expect(Array.from(image.data.subarray(3 * at, 3 * at + 3))).toEqual([128, 128, 128]);
        expect(degraded!.data[3 * at]).toBe(128);
      }
    }
  });

  it('looks for crops that no class fills', () => {
    const sample = sampleOf(64, 32);
    const oneSided = {
      ...sample,
      labels: { ...sample.labels!, data: sample.labels!.data.map((_, i) => (i % 64 < 50 ? 0 : 1)) },
    };
    const share = (most: number): number => {
      const random = seededRandom(3);
      const crops = Array.from({ length: 60 }, () =>
        augmentSample(oneSided, { crop: 16, mostOfOneClass: most }, random),
      );
      return crops.filter(({ labels }) => labels!.data.some((label) => label === 1)).length / 60;
    };
    expect(share(1)).toBeLessThan(0.45);
    expect(share(0.75)).toBeGreaterThan(0.75);
  });

  it('changes the colours of the good photograph alone', () => {
    const random = seededRandom(4);
    const changed = Array.from({ length: 20 }, () =>
      augmentSample(sampleOf(8, 8), { crop: 8, flip: false, colour: true }, random),
    );
    expect(changed.some(({ image, degraded }) => image.data.some((level, i) => level !== degraded!.data[i]))).toBe(
      true,
    );
    for (const { degraded } of changed) expect(degraded!.data).toEqual(sampleOf(8, 8).image.data);
  });
});

it('centreSample takes the middle, of an image that is too small enlarged', () => {
  const { image } = centreSample(sampleOf(40, 30), 16);
  expect(Array.from(image.data.slice(0, 3))).toEqual([12, 7, 7]);
  const small = centreSample(sampleOf(20, 10), 16);
  expect([small.image.width, small.image.height]).toEqual([16, 16]);
  expect(small.labels!.data.every((label) => label < 5)).toBe(true);
});
