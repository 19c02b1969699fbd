import type { RgbImage } from '@rass/images';
import { expect, it } from 'vitest';
import { checkImage } from './check-image.ts';

const of = (data: ArrayLike<number>, width = 2, height = 1) => ({ width, height, data }) as unknown as RgbImage;

it('takes bytes, and numbers of their range', () => {
  checkImage('x', of(new Uint8Array(6)));
  checkImage('x', of(Float32Array.of(0, 1.5, 255, 3, 4, 5)));
});

it.each<[RgbImage, string]>([
  [
    of(Float32Array.of(0, 1, Number.NaN, 3, 4, 5)),
    'restore: pixels are numbers from 0 to 255; got NaN at 2; look at what made the image',
  ],
  [of([0, 1, 2, 3, 4, Number.POSITIVE_INFINITY]), 'got Infinity at 5'],
  [of(Float32Array.of(0, 1, 2, 3, 256, 5)), 'got 256 at 4'],
  [of(Float32Array.of(0, -1, 2, 3, 4, 5)), 'got -1 at 1'],
  [
    of(new Uint8Array(8)),
    'restore: an image has red, green and blue of each pixel; got 8 values for 2 x 1; leave out the alpha',
  ],
  [of(new Uint8Array(5)), 'got 5 values for 2 x 1'],
  [of(new Uint8Array(0), 0, 1), 'restore: an image has whole sides above 0; got 0 x 1; look at what made it'],
])('refuses %#', (image, message) => {
  expect(() => checkImage('restore', image)).toThrow(message);
});
