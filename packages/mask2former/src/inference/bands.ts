import { sigmoid, type Tensor3D } from '@tensorflow/tfjs-core';
import { bilinearTaps, interpolate, type Taps, tapsBetween } from './bilinear.ts';
import type { TargetSize } from './segmentation.ts';

/** Hugging Face brings every image's masks to this size before it combines them, whatever the image's own.
 * @source transformers 5.23 image_processing_mask2former */
export const GRID = 384;
export const GRID_SIZE: TargetSize = [GRID, GRID];

/** What the largest tensor of a band takes, about; some three to five of them live at a time. */
const BAND_BYTES = 2 ** 25;
const FLOAT_BYTES = 4;

/** Rows from `first` to before `end`. */
export interface Band {
  readonly first: number;
  readonly end: number;
}

/** Cuts an image into bands of rows so that `values` floats for each pixel fit into memory, of the grid's pixels too. */
export function bandsOf([height, width]: TargetSize, values: number): Band[] {
  const perRow = Math.max(width, (GRID * GRID) / height) * values * FLOAT_BYTES;
  const rows = Math.max(1, Math.floor(BAND_BYTES / perRow));
  return Array.from({ length: Math.ceil(height / rows) }, (_, i) => ({
    first: i * rows,
    end: Math.min(height, (i + 1) * rows),
  }));
}

/** Rows of the masks on the grid. @shape logits [H, W, Q] -> [rows, 384, Q] */
export function gridLogits(logits_HWQ: Tensor3D, { first, end }: Band): Tensor3D {
  const [H, W] = logits_HWQ.shape;
  return interpolate(logits_HWQ, tapsBetween(bilinearTaps(H, GRID), first, end, 0), bilinearTaps(W, GRID));
}

/** A band of the combined masks at their target size: combining happens on the grid, resizing after it. Interpolation is
 * separable and local, so bands give what the whole would. @shape logits [H, W, Q] -> [rows, width, C] */
export function resizedBand(
  logits_HWQ: Tensor3D,
  [height, width]: TargetSize,
  band: Band,
  combine: (masks_HWQ: Tensor3D) => Tensor3D,
): Tensor3D {
  const rows: Taps = bilinearTaps(GRID, height);
  const needed = { first: rows.low[band.first], end: rows.high[band.end - 1] + 1 };
  const combined = combine(sigmoid(gridLogits(logits_HWQ, needed)));
  return interpolate(combined, tapsBetween(rows, band.first, band.end, needed.first), bilinearTaps(GRID, width));
}
