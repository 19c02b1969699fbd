import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  addNoise,
  blurKernel,
  type DegradationRecord,
  type DegradationSettings,
  degrade,
  type FloatImage,
  filter2d,
  jpeg,
  OSEDIFF_DEGRADATION,
  PISA_SR_DEGRADATION,
  RASS_DEGRADATION,
  RASS_MILD_DEGRADATION,
  REAL_ESRGAN_DEGRADATION,
  type RgbImage,
  replay,
  resize,
  toPlanar,
} from './index.ts';
import { randomStream } from './random/random-stream.ts';

/** Smooth waves with some grain. */
function picture(width: number, height: number): RgbImage {
  const { bits } = randomStream(1, 'picture');
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return 40 + ((x * 5 + y * 3 + (i % 3) * 30) % 160) + (bits() & 31);
  });
  return { width, height, data };
}

const floats = ({ width, height, data }: RgbImage): FloatImage => ({
  width,
  height,
  data: Float32Array.from(data, (level) => level / 255),
});

const hash = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex').slice(0, 16);

const difference = (a: RgbImage, b: RgbImage): number =>
  Array.from(a.data, (value, i) => Math.abs(value - b.data[i])).reduce((x, y) => x + y, 0) / a.data.length;

describe('a seed', () => {
  const image = picture(70, 50);

  // The bytes of another machine, engine or thread.
  it.each([
    ['RASS', RASS_DEGRADATION, '4dc46df6239cfccd 8adeddbb7dd3cd38 78e24f0a2bc66213'],
    ['RASS, mild', RASS_MILD_DEGRADATION, '793445b5b54b8d30 5a27a38d6ef8e841 e1e33ea4b947e05b'],
    ['Real-ESRGAN', REAL_ESRGAN_DEGRADATION, '6e2c2ccccbc13ac7 d69698184f5e2ee9 fad4c96dce68d3d2'],
    ['OSEDiff', OSEDIFF_DEGRADATION, '6110a8e8ff5f6554 8fa00483bb322d03 4d62ff5715d9181a'],
    ['PiSA-SR', PISA_SR_DEGRADATION, '34d034bb8ffbb04c 98f067c24415a6fd 74f5ad996524be6f'],
  ])('gives the same bytes as ever: %s', (_, settings, expected) => {
    const hashes = [1, 2, 3].map((seed) => hash(degrade(image, settings, { seed }).image.data)).join(' ');
    expect(hashes).toBe(expected);
  });

  it('gives the same for levels and for floats, and leaves the input as it is', () => {
    const [before, input] = [floats(image), floats(image)];
    for (let seed = 0; seed < 4; seed++) {
      const levels = degrade(image, RASS_DEGRADATION, { seed });
      const unit = degrade(input, RASS_DEGRADATION, { seed });
      expect(unit.record).toEqual(levels.record);
      expect(unit.image).toEqual(floats(levels.image));
      const clamped = { ...image, data: Uint8ClampedArray.from(image.data) };
      expect(degrade(clamped, RASS_DEGRADATION, { seed }).image).toEqual(levels.image);
    }
    expect(input).toEqual(before);
  });

  it('gives another image than its neighbour; a setting changes what it is about alone', () => {
    const { record, image: first } = degrade(image, RASS_DEGRADATION, { seed: 1 });
    expect(difference(first, degrade(image, RASS_DEGRADATION, { seed: 2 }).image)).toBeGreaterThan(1);
    const settings = { ...RASS_DEGRADATION, first: { ...RASS_DEGRADATION.first, jpegQuality: [5, 6] as const } };
    const { record: other } = degrade(image, settings, { seed: 1 });
    expect(other.first.jpegQuality).toBeLessThan(6);
    expect({ ...other, first: { ...other.first, jpegQuality: 0 } }).toEqual({
      ...record,
      first: { ...record.first, jpegQuality: 0 },
    });
  });
});

describe('a record', () => {
  it('gives the image again to the byte, through JSON too', () => {
    const settings = [RASS_DEGRADATION, RASS_MILD_DEGRADATION, REAL_ESRGAN_DEGRADATION, PISA_SR_DEGRADATION];
    for (let seed = 0; seed < 24; seed++) {
      const image = picture(20 + seed, 41 - seed);
      const { image: expected, record } = degrade(image, settings[seed % 4], { seed });
      const through = JSON.parse(JSON.stringify(record)) as DegradationRecord;
      expect(through).toEqual(record);
      expect(replay(image, through)).toEqual(expected);
      expect(replay(floats(image), through)).toEqual(floats(expected));
    }
  });

  it('is refused where it is not one, or of another size', () => {
    const image = picture(8, 6);
    const { record } = degrade(image, RASS_DEGRADATION, { seed: 1 });
    const bad = (change: object): DegradationRecord => ({ ...record, ...change });
    expect(() => replay(picture(8, 7), record)).toThrow(
      'replay: a record is for images of its size, 8 x 6; got 8 x 7; give the same image',
    );
    expect(() => replay(image, bad({ first: { ...record.first, jpegQuality: 0 } }))).toThrow(
      'replay: first.jpegQuality: a number above 0; got 0; give a record that degrade has returned',
    );
    expect(() => replay(image, bad({ resizeBack: { mode: 'nearest', width: 1, height: 1 } }))).toThrow(
      'replay: resizeBack.mode: ',
    );
    expect(() => replay(image, null as unknown as DegradationRecord)).toThrow('replay: record: ');
  });
});

describe('draws', () => {
  const count = 6000;
  const pixel = { width: 1, height: 1, data: Uint8Array.of(1, 2, 3) };
  const { first, second } = RASS_DEGRADATION;
  const records = Array.from({ length: count }, (_, seed) => degrade(pixel, RASS_DEGRADATION, { seed }).record);
  const share = (of: (record: DegradationRecord) => boolean): number => records.filter(of).length / count;
  /** Five deviations of a share. */
  const near = (found: number, expected: number, of = count): void =>
    expect(Math.abs(found - expected)).toBeLessThan(5 * Math.sqrt((expected * (1 - expected)) / of));
  const spread = (values: readonly number[], [low, high]: readonly [number, number]): void => {
    expect(values.length).toBeGreaterThan(300);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(low);
    expect(Math.max(...values)).toBeLessThanOrEqual(high);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    expect(Math.abs(mean - (low + high) / 2)).toBeLessThan((5 * (high - low)) / Math.sqrt(12 * values.length));
  };

  it('blur', () => {
    expect(share(({ first: { blur } }) => blur === null)).toBe(0);
    near(
      share(({ second: { blur } }) => blur !== null),
      0.8,
    );
    near(
      share(({ first: { blur } }) => blur?.kind === 'sinc'),
      0.1,
    );
    for (const [kind, weight] of Object.entries(first.blur.kinds)) {
      near(
        share(({ first: { blur } }) => blur?.kind === kind),
        0.9 * weight,
      );
    }
    for (const size of first.blur.sizes)
      near(
        share(({ first: { blur } }) => blur?.size === size),
        1 / 8,
      );
    const kernels = records.flatMap((record) => record.first.blur ?? []);
    const gaussian = kernels.flatMap((kernel) => (kernel.kind === 'sinc' ? [] : [kernel]));
    spread(
      gaussian.map(({ sigmaX }) => sigmaX),
      first.blur.sigma,
    );
    const turned = gaussian.filter(({ kind }) => kind.endsWith('aniso'));
    spread(
      turned.map(({ sigmaY }) => sigmaY),
      first.blur.sigma,
    );
    spread(
      turned.map(({ angle }) => angle),
      [-Math.PI, Math.PI],
    );
    for (const kernel of gaussian) {
      if (!kernel.kind.includes('aniso')) expect([kernel.sigmaY, kernel.angle]).toEqual([kernel.sigmaX, 0]);
      if (!kernel.kind.includes('_')) expect(kernel.shape).toBe(1);
    }
    const shapes = gaussian.filter(({ kind }) => kind.startsWith('generalized')).map(({ shape }) => shape);
    near(shapes.filter((shape) => shape < 1).length / shapes.length, 0.5, shapes.length);
    const low = shapes.filter((shape) => shape < 1);
    spread(low, [0.5, 1]);
    const cutoffs = kernels.flatMap((kernel) => (kernel.kind === 'sinc' && kernel.size < 13 ? [kernel.cutoff] : []));
    expect(Math.min(...cutoffs)).toBeGreaterThanOrEqual(Math.PI / 3);
  });

  it('sizes', () => {
    const image = { width: 100, height: 60, data: new Uint8Array(18000) };
    const factors = records.map((record) => record.first.resize.factor!);
    near(factors.filter((factor) => factor > 1).length / count, 0.2);
    near(factors.filter((factor) => factor < 1).length / count, 0.7);
    spread(
      factors.filter((factor) => factor < 1),
      [0.15, 1],
    );
    spread(
      factors.filter((factor) => factor > 1),
      [1, 1.5],
    );
    for (const mode of ['area', 'bilinear', 'bicubic']) {
      near(
        share((record) => record.first.resize.mode === mode),
        1 / 3,
      );
      near(
        share((record) => record.final.resize.mode === mode),
        1 / 3,
      );
    }
    for (let seed = 0; seed < 10; seed++) {
      const { record } = degrade(image, { ...RASS_DEGRADATION, scale: 3 }, { seed });
      const { factor, width, height } = record.first.resize;
      expect([width, height]).toEqual([Math.floor(100 * factor!), Math.floor(60 * factor!)]);
      expect(record.second.resize.factor).toBeUndefined();
      expect(record.second.resize.width).toBeLessThanOrEqual((100 / 3) * 1.2);
      expect(record.final.resize).toMatchObject({ width: 33, height: 20 });
    }
  });

  it('noise, JPEG and the end', () => {
    for (const name of ['first', 'second'] as const) {
      const noises = records.map((record) => record[name].noise);
      near(noises.filter(({ kind }) => kind === 'gaussian').length / count, 0.5);
      near(noises.filter(({ gray }) => gray).length / count, 0.4);
      const settings = { first, second }[name];
      const sigmas = noises.flatMap((noise) => (noise.kind === 'gaussian' ? [noise.sigma] : []));
      spread(sigmas, settings.noise.sigma);
      const scales = noises.flatMap((noise) => (noise.kind === 'poisson' ? [noise.scale] : []));
      spread(scales, settings.noise.poissonScale);
      expect(new Set(noises.map(({ seed }) => seed)).size).toBeGreaterThan(count - 10);
      spread(
        records.map((record) => record[name].jpegQuality),
        [30, 95],
      );
    }
    near(
      share(({ final }) => final.jpegLast),
      0.5,
    );
    near(
      share(({ final }) => final.sinc !== null),
      0.8,
    );
    const cutoffs = records.flatMap(({ final: { sinc } }) => (sinc?.kind === 'sinc' ? [sinc.cutoff] : []));
    spread(cutoffs, [Math.PI / 3, Math.PI]);
  });
});

describe('images', () => {
  it.each([
    [1, 1],
    [3, 5],
    [1, 40],
    [97, 2],
    [33, 17],
  ])('of %d x %d have the size that the scale asks for', (width, height) => {
    const image = picture(width, height);
    for (let seed = 0; seed < 12; seed++) {
      expect(degrade(image, RASS_DEGRADATION, { seed }).image).toMatchObject({ width, height });
      const small = degrade(image, REAL_ESRGAN_DEGRADATION, { seed }).image;
      expect([small.width, small.height]).toEqual([width, height].map((side) => Math.max(1, Math.floor(side / 4))));
      expect(degrade(image, OSEDIFF_DEGRADATION, { seed }).image).toMatchObject({ width, height });
    }
  });

  it('stay close where settings are mild, and lose much where they are extreme', () => {
    const coloured = picture(64, 64);
    // Without colours, of which JPEG halves the size.
    const image = { ...coloured, data: coloured.data.map((_, i, all) => all[i - (i % 3)]) };
    const round = {
      ...RASS_DEGRADATION.first,
      blurProbability: 0,
      resize: { up: 0, down: 0, keep: 1, range: [1, 1] },
      noise: { gaussianProbability: 1, sigma: [0, 0], poissonScale: [0, 0], grayProbability: 0 },
      jpegQuality: [100, 100],
    } as const;
    const still: DegradationSettings = {
      ...RASS_DEGRADATION,
      first: round,
      second: round,
      finalSinc: { probability: 0, sizes: [7] },
    };
    expect(degrade(image, still, { seed: 1 }).image).toEqual(image);
    const harsh: DegradationSettings = {
      ...still,
      first: { ...round, noise: { ...round.noise, sigma: [1e6, 1e6] }, jpegQuality: [0.01, 0.01] },
    };
    const { image: ruin } = degrade(image, harsh, { seed: 1 });
    expect(difference(ruin, image)).toBeGreaterThan(20);
    expect(ruin.data).toHaveLength(image.data.length);
  });

  it('are refused where sides, data or numbers are not as they must be', () => {
    const run = (image: RgbImage | FloatImage) => () => degrade(image, RASS_DEGRADATION, { seed: 1 });
    expect(run({ width: 2, height: 2, data: new Uint8Array(16) })).toThrow(
      'image: it has width x height x 3 numbers; got 2 x 2 and 16 numbers; give RGB without alpha',
    );
    expect(run({ width: 0, height: 2, data: new Uint8Array(0) })).toThrow(
      'image: it has width x height x 3 numbers; got 0 x 2',
    );
    expect(run({ width: 1, height: 1, data: Float32Array.of(0, 1, 255) })).toThrow(
      'image: numbers are from 0 to 1; got 255 at 2; clamp them, or divide by 255',
    );
    expect(run({ width: 1, height: 1, data: Float32Array.of(0, Number.NaN, 1) })).toThrow(
      'image: numbers are from 0 to 1; got NaN at 1;',
    );
    expect(() => degrade(picture(1, 1), RASS_DEGRADATION, { seed: 0.5 })).toThrow(
      'degrade: a seed is a whole number; got 0.5; give one, such as 0',
    );
  });
});

const gaussian = (size: number, sigma: number) =>
  ({ kind: 'iso', size, sigmaX: sigma, sigmaY: sigma, angle: 0, shape: 1 }) as const;

describe('parts', () => {
  it('by hand: the neighbours of a pixel, reflected without the edge', () => {
    const image = { width: 3, height: 1, data: Float32Array.of(1, 2, 4, 0, 0, 0, 0, 0, 1) };
    const kernel = { size: 3, weights: Float32Array.of(0, 0, 0, 0.25, 0, 0.75, 0, 0, 0) };
    expect([...filter2d(image, kernel).data]).toEqual([2, 3.25, 2, 0, 0, 0, 0, 0.75, 0]);
  });

  it('a kernel that is a product of lines gives what its numbers give', () => {
    const image = toPlanar(picture(40, 30));
    const kernel = blurKernel(gaussian(9, 1.5));
    const lines = filter2d(image, kernel).data;
    // One number off by more than rounding, and it is no product any more.
    const weights = kernel.weights.slice();
    weights[0] += 1e-6;
    const whole = filter2d(image, { size: 9, weights }).data;
    expect(Math.max(...lines.map((value, i) => Math.abs(value - whole[i])))).toBeLessThan(4e-6);
  });

  it('noise is the same on each channel where it is gray, and of its strength', () => {
    const image = { width: 100, height: 100, data: new Float32Array(30_000).fill(0.5) };
    const noise = (kind: 'gaussian' | 'poisson', gray: boolean): Float32Array => {
      const record = kind === 'gaussian' ? { kind, sigma: 12, gray, seed: 1 } : { kind, scale: 1, gray, seed: 1 };
      return addNoise(image, record).data.map((value) => value - 0.5);
    };
    for (const kind of ['gaussian', 'poisson'] as const) {
      const [gray, colour] = [noise(kind, true), noise(kind, false)];
      expect(gray.slice(0, 10_000)).toEqual(gray.slice(20_000));
      expect(colour.slice(0, 10_000)).not.toEqual(colour.slice(20_000));
    }
    const deviation = (values: Float32Array): number =>
      Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    expect(deviation(noise('gaussian', false)) * 255).toBeCloseTo(12, 0);
  });

  it('errors', () => {
    const image = toPlanar(picture(2, 2));
    expect(() => jpeg(image, 0)).toThrow('jpeg: the quality is above 0 and at most 100; got 0; give such as 75');
    expect(() => jpeg(image, 100.5)).toThrow('jpeg: the quality is above 0 and at most 100; got 100.5;');
    expect(() => resize(image, { mode: 'area', width: 0, height: 2 })).toThrow(
      'resize: sides are whole numbers above 0; got 0 x 2; give the size in pixels',
    );
    expect(() => filter2d(image, { size: 2, weights: new Float32Array(4) })).toThrow(
      'filter2d: a kernel has an odd size and size x size weights; got 2 and 4; give a square',
    );
    expect(() => blurKernel(gaussian(8, 1))).toThrow(
      'blurKernel: the size is odd, so that there is a middle; got 8; give such as 21',
    );
    expect(() => blurKernel(gaussian(7, Number.NaN))).toThrow(
      'blurKernel: weights have a finite sum; got NaN from {"kind":"iso"',
    );
  });
});
