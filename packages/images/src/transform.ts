import { unflatten } from './background.ts';
import { IGNORE_LABEL, type LabelMap, type RgbImage } from './image.ts';
import { nearestPositions, resizePixels } from './pillow.ts';

/** A rectangle of an image, in pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

const COLOURS = 3;

/** Copies a part of a raster of so many channels into a larger or equal one, `fill` where the part reaches over its edges. */
function cut<R extends RgbImage>(raster: R, channels: number, box: Box, fill: number): RgbImage {
  const { left, top, width, height } = box;
  const data = new Uint8Array(channels * width * height).fill(fill);
  const [from, to] = [Math.max(0, left), Math.min(raster.width, left + width)];
  for (let y = Math.max(0, top); y < Math.min(raster.height, top + height) && to > from; y++) {
    const row = raster.data.subarray(channels * (y * raster.width + from), channels * (y * raster.width + to));
    data.set(row, channels * ((y - top) * width + from - left));
  }
  return { width, height, data };
}

function mirrored(raster: RgbImage, channels: number): RgbImage {
  const { width, height } = raster;
  const data = new Uint8Array(raster.data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = channels * (y * width + width - 1 - x);
      for (let c = 0; c < channels; c++) data[channels * (y * width + x) + c] = raster.data[from + c]!;
    }
  }
  return { width, height, data };
}

/** Part of an image; what lies outside of it is `fill`, default 0. */
export const cropImage = (image: RgbImage, box: Box, fill = 0): RgbImage => cut(image, COLOURS, box, fill);
/** Part of a label map; what lies outside of it is ignored. */
export const cropLabels = (labels: LabelMap, box: Box): LabelMap => cut(labels, 1, box, IGNORE_LABEL);
/** Left and right exchanged. */
export const mirrorImage = (image: RgbImage): RgbImage => mirrored(image, COLOURS);
export const mirrorLabels = (labels: LabelMap): LabelMap => mirrored(labels, 1);

/** An image at another size, as Pillow resizes it, with a filter that widens where it shrinks. @source Pillow 13 */
export function resizeImage(
  { width, height, data }: RgbImage,
  size: Size,
  filter: 'bilinear' | 'bicubic' = 'bilinear',
): RgbImage {
  const resized = resizePixels({ width, height, channels: COLOURS, data }, [size.height, size.width], filter);
  return { width: size.width, height: size.height, data: Uint8Array.from(resized.data) };
}

/** A picture that was made of an original laid on white: transparent where that is, of whichever size. */
export function withAlphaOf({ picture, original }: { picture: RgbImage; original: RgbImage }): RgbImage {
  const { width, height, alpha } = original;
  if (alpha === undefined) return picture;
  const size = [picture.height, picture.width] as const;
  const resized = resizePixels({ width, height, channels: 1, data: alpha }, size, 'bicubic');
  return unflatten(picture, Uint8Array.from(resized.data));
}

/** The label of each pixel's nearest one, as Pillow finds it. */
export function resizeLabels({ width, height, data }: LabelMap, size: Size): LabelMap {
  const [down, across] = [nearestPositions(height, size.height), nearestPositions(width, size.width)];
  const out = new Uint8Array(size.width * size.height);
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) out[y * size.width + x] = data[down[y]! * width + across[x]!]!;
  }
  return { ...size, data: out };
}
