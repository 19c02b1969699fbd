import { sigmoid, type Tensor3D, tidy } from '@tensorflow/tfjs-core';
import { bilinearTaps, interpolate, tapsBetween } from './bilinear.ts';
import type { ImageSizes } from './sizes.ts';

/** What the largest tensor of a band takes, about; some three of them live at a time. */
const BAND_BYTES = 2 ** 25;
const FLOAT_BYTES = 4;

/** Rows from `first` to before `end`. */
export interface Band {
  readonly first: number;
  readonly end: number;
}

/** Cuts an image's map into bands of rows so that `values` floats for each pixel fit into memory, of the masks' pixels too. */
export function bandsOf({ image, target: [height, width] }: ImageSizes, values: number): Band[] {
  const perRow = Math.max(width, (image[0] * image[1]) / height) * values * FLOAT_BYTES;
  const rows = Math.max(1, Math.floor(BAND_BYTES / perRow));
  return Array.from({ length: Math.ceil(height / rows) }, (_, i) => ({
    first: i * rows,
    end: Math.min(height, (i + 1) * rows),
  }));
}

/** Rows of the image's part of the masks. @shape logits [H, W, Q] -> [rows, columns of the image, Q] */
export function maskBand(logits_HWQ: Tensor3D, { mask, image }: ImageSizes, { first, end }: Band): Tensor3D {
  const [H, W] = logits_HWQ.shape;
  const [rows, columns] = [bilinearTaps(H, mask[0]), bilinearTaps(W, mask[1])];
  return interpolate(logits_HWQ, tapsBetween(rows, first, end, 0), tapsBetween(columns, 0, image[1], 0));
}

/** A band of the combined masks at their target size: they are combined before they are resized. Interpolation is separable
 * and local, so bands give what the whole would. @shape logits [H, W, Q] -> [rows, width, C] */
export function resizedBand(
  logits_HWQ: Tensor3D,
  sizes: ImageSizes,
  band: Band,
  combine: (masks_HWQ: Tensor3D) => Tensor3D,
): Tensor3D {
  const rows = bilinearTaps(sizes.image[0], sizes.target[0]);
  const needed = { first: rows.low[band.first], end: rows.high[band.end - 1] + 1 };
  const combined = tidy(() => combine(tidy(() => sigmoid(maskBand(logits_HWQ, sizes, needed)))));
  const columns = bilinearTaps(sizes.image[1], sizes.target[1]);
  return interpolate(combined, tapsBetween(rows, band.first, band.end, needed.first), columns);
}
