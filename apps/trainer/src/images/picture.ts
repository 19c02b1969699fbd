import type { RgbImage } from '@rass/images';

/** A picture without its alpha. */
export function withoutAlpha({
  width,
  height,
  data,
}: {
  width: number;
  height: number;
  data: ArrayLike<number>;
}): RgbImage {
  const out = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) for (let c = 0; c < 3; c++) out[3 * i + c] = data[4 * i + c]!;
  return { width, height, data: out };
}
