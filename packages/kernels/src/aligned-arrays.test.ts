import { expect, it } from 'vitest';
import { alignedBytes, alignedFloats } from './aligned-arrays.ts';

it.each([0, 1, 2 ** 16 - 1, 2 ** 16, 2 ** 16 + 1])('an array of %d values is zeros, aligned for any type', (count) => {
  const floats = alignedFloats(count);
  expect(floats.length).toBe(count);
  expect(floats.byteOffset % 8).toBe(0);
  expect(floats.every((value) => value === 0)).toBe(true);
  const bytes = alignedBytes(4 * count);
  expect([bytes.length, bytes.byteOffset]).toEqual([4 * count, floats.byteOffset]);
});
