/** RGB interleaved, row by row, 0..255. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** RGB interleaved, row by row, 0..1. */
export interface FloatImage {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

/** The red plane, then the green one, then the blue one, each row by row, 0..1. */
export interface PlanarImage {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array<ArrayBuffer>;
}

const isSide = (value: number): boolean => Number.isSafeInteger(value) && value > 0;

/** An image of zeros. */
export function emptyPlanar(width: number, height: number): PlanarImage {
  return { width, height, data: new Float32Array(3 * width * height) };
}

export const isFloat = (image: RgbImage | FloatImage): image is FloatImage => image.data instanceof Float32Array;

/** @throws when sides and data do not fit, and when a number is not from 0 to 1 */
export function toPlanar(image: RgbImage | FloatImage): PlanarImage {
  const { width, height, data } = image;
  if (!isSide(width) || !isSide(height) || data.length !== 3 * width * height) {
    throw new Error(
      `image: it has width x height x 3 numbers; got ${width} x ${height} and ${data.length} numbers; give RGB without alpha`,
    );
  }
  const planar = emptyPlanar(width, height);
  const pixels = width * height;
  const float = isFloat(image);
  for (let channel = 0; channel < 3; channel++) {
    const plane = planar.data.subarray(channel * pixels, (channel + 1) * pixels);
    for (let i = 0, at = channel; i < pixels; i++, at += 3) {
      const value = float ? data[at] : data[at] / 255;
      if (!(value >= 0 && value <= 1)) {
        throw new Error(`image: numbers are from 0 to 1; got ${value} at ${at}; clamp them, or divide by 255`);
      }
      plane[i] = value;
    }
  }
  return planar;
}

// 1.5 * 2^52: adding and subtracting it rounds to whole numbers, halves to even ones, as torch does.
const ROUNDER = 6755399441055744;

/** Brings a number into 0..1. */
export const clampUnit = (value: number): number => Math.min(1, Math.max(0, value));

/** Rounds halves to even numbers. */
export const roundEven = (value: number): number => value + ROUNDER - ROUNDER;

/** The level from 0 to 255 of a number from 0 to 1. */
export const levelOf = (value: number): number => Math.min(255, Math.max(0, roundEven(Math.fround(value * 255))));

/** Numbers are clamped and rounded to levels. */
export function toRgbImage({
  width,
  height,
  data,
}: PlanarImage): RgbImage & { readonly data: Uint8Array<ArrayBuffer> } {
  const pixels = width * height;
  const out = new Uint8Array(3 * pixels);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0, at = channel; i < pixels; i++, at += 3) out[at] = levelOf(data[channel * pixels + i]);
  }
  return { width, height, data: out };
}

/** Numbers are kept as they are. */
export function toFloatImage({
  width,
  height,
  data,
}: PlanarImage): FloatImage & { readonly data: Float32Array<ArrayBuffer> } {
  const pixels = width * height;
  const out = new Float32Array(3 * pixels);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0, at = channel; i < pixels; i++, at += 3) out[at] = data[channel * pixels + i];
  }
  return { width, height, data: out };
}
