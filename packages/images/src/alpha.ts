import type { RgbImage } from './image.ts';

/** An image of red, green, blue and alpha, interleaved, without its alpha. */
export function withoutAlpha({
  width,
  height,
  data: rgba,
}: {
  readonly width: number;
  readonly height: number;
  readonly data: ArrayLike<number>;
}): RgbImage {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) data[3 * i + c] = rgba[4 * i + c]!;
  return { width, height, data };
}
