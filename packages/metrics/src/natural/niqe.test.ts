import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '@rass/kernels/node';
import { expectClose, loadGolden } from '@rass/testkit';
import { openCheckpoint } from '@rass/weights/node';
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import type { Image } from '../images/image.ts';
import { gamma } from './gamma.ts';
import { type NiqeModel, niqe, readNiqeModel } from './niqe.ts';
import { filtered, halved } from './plane.ts';

const golden = loadGolden('metrics/niqe');

function image(name: string): Image {
  const [height, width] = golden.config[name];
  const { buffer, byteOffset } = golden.raw(`in/${name}`).values;
  return { width, height, channels: 3, data: new Uint8Array(buffer, byteOffset, width * height * 3) };
}

const model: NiqeModel = {
  mean: golden.raw('model/mu_pris_param').values,
  covariance: golden.raw('model/cov_pris_param').values,
  window: golden.raw('model/gaussian_window').values,
};
const black = (width: number, height: number): Image => ({
  width,
  height,
  channels: 1,
  data: new Uint8Array(width * height),
});

describe('niqe', () => {
  it.each(['square', 'wide'])("equals basicsr's: %s", async (name) => {
    await expectClose([niqe(image(name), model, { luma: 'y' })], golden.raw(`out/${name}`).values);
    const border = name === 'square' ? 4 : 0;
    await expectClose([niqe(image(name), model, { luma: 'y', border })], golden.raw(`out/${name}.border`).values);
    expect(niqe(image(name), model)).not.toBeCloseTo(niqe(image(name), model, { luma: 'y' }), 4);
  });

  it("halves as MATLAB's imresize", async () => {
    const { width, data } = image('wide');
    const values = Float64Array.from({ length: 96 * 192 }, (_, i) => {
      return data[(Math.floor(i / 192) * width + (i % 192)) * 3] / 255;
    });
    const half = halved({ width: 192, height: 96, values });
    expect([half.width, half.height]).toEqual([96, 48]);
    await expectClose(half.values, golden.raw('out/half').values, { relative: 1e-6 });
  });

  it('leaves a plain plane as it is, filtered and halved', () => {
    const plain = { width: 10, height: 8, values: new Float64Array(80).fill(7) };
    for (const value of filtered(plain, model.window)) expect(value).toBeCloseTo(7, 4);
    for (const value of halved(plain).values) expect(value).toBeCloseTo(7, 10);
  });

  it.each([
    [1, 1],
    [5, 24],
    [0.5, Math.sqrt(Math.PI)],
    [0.1, 9.513507698668732],
    [15.5, 334838609873.5557],
  ])('has the gamma function of %f', (x, value) => {
    expect(Math.abs(gamma(x) / value - 1)).toBeLessThan(1e-12);
  });

  it('says what it cannot tell', () => {
    const noise = image('wide');
    const spoilt = { ...noise, data: Float64Array.from(noise.data, (value, i) => (i === 5 ? Number.NaN : value)) };
    expect(() => niqe(black(190, 190), model)).toThrow(
      'niqe: at least two blocks of 96 x 96 pixels fit into an image; got 190 x 190; give a larger one',
    );
    expect(() => niqe(noise, model, { border: 100 })).toThrow('got 100 x -104; give a larger one');
    expect(() => niqe(black(200, 200), model)).toThrow(
      'niqe: at least two blocks of an image vary; got 0 of 4; a plain picture has no quality to tell',
    );
    expect(() => niqe(spoilt, model)).toThrow('niqe: values are numbers from 0 to 255; got NaN at 5');
    expect(() => niqe(noise, { ...model, window: [1] })).toThrow(
      'niqe: a model has 36 means, 36 x 36 covariances and a window of 7 x 7; got 36, 1296, 1 numbers; read it with readNiqeModel',
    );
  });
});

const data = process.env.RASS_TEST_DATA;
const file = join(cacheFolder(), 'weights', 'niqe.safetensors');
const available = data !== undefined && existsSync(file);
const folder = join(data ?? '', 'restore-mini');
const published: Record<string, { niqe: number }> = available
  ? JSON.parse(readFileSync(join(folder, 'osediff/metrics.json'), 'utf8'))
  : { none: { niqe: 0 } };

// Published with pyiqa, whose own arithmetic is in single precision.
it.skipIf(!available).each(Object.keys(published))(
  'is as published of a photograph that OSEDiff has restored (skipped without RASS_TEST_DATA and `rass weights install niqe`): %s',
  async (name) => {
    const checkpoint = await openCheckpoint(file);
    const installed = await readNiqeModel(checkpoint);
    await checkpoint.close();
    const { width, height, channels, data: values } = decode(readFileSync(join(folder, `osediff/${name}.png`)));
    const score = niqe({ width, height, channels: channels as 3, data: values }, installed);
    expect(Math.abs(score - published[name].niqe)).toBeLessThan(1e-2);
  },
);
