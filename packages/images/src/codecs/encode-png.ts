import { encode } from 'fast-png';
import type { LabelMap, RgbImage } from '../image.ts';

const BYTE = 8;
const COLOURS = 3;
const RGBA = 4;

/** A PNG, with alpha where the image has some. */
export function encodePng({ width, height, data, alpha }: RgbImage): Uint8Array {
  if (alpha === undefined) return encode({ width, height, data, channels: COLOURS, depth: BYTE });
  const rgba = new Uint8Array(RGBA * width * height);
  for (let i = 0; i < alpha.length; i++) {
    rgba.set(data.subarray(COLOURS * i, COLOURS * i + COLOURS), RGBA * i);
    rgba[RGBA * i + COLOURS] = alpha[i]!;
  }
  return encode({ width, height, data: rgba, channels: RGBA, depth: BYTE });
}

export const encodeLabelsPng = ({ width, height, data }: LabelMap): Uint8Array =>
  encode({ width, height, data, channels: 1, depth: BYTE });
