import type { RgbImage } from './image.ts';

const OPAQUE = 255;
const RGB = 3;
const RGBA = 4;

interface Interleaved {
  readonly width: number;
  readonly height: number;
  readonly data: ArrayLike<number>;
}

/** An image of red, green, blue and alpha, interleaved; alpha is left out where all is opaque. @shape [H, W, 4] -> [H, W, 3] */
export function fromRgba({ width, height, data: rgba }: Interleaved): RgbImage {
  const pixels = width * height;
  const data = new Uint8Array(RGB * pixels);
  const alpha = new Uint8Array(pixels);
  let least = OPAQUE;
  for (let i = 0; i < pixels; i++) {
    data[RGB * i] = rgba[RGBA * i]!;
    data[RGB * i + 1] = rgba[RGBA * i + 1]!;
    data[RGB * i + 2] = rgba[RGBA * i + 2]!;
    alpha[i] = rgba[RGBA * i + RGB]!;
    least = Math.min(least, alpha[i]!);
  }
  return { width, height, data, ...(least < OPAQUE && { alpha }) };
}

/** An image of red, green, blue and alpha, interleaved, without its alpha: hidden colours appear. For pictures see fromRgba and flatten. */
export function withoutAlpha(image: Interleaved): RgbImage {
  const { width, height, data } = fromRgba(image);
  return { width, height, data };
}
