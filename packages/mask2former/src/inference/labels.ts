import { argMax, slice, type Tensor3D } from '@tensorflow/tfjs-core';
import { tidied } from '../tidied.ts';
import { type Band, bandsOf } from './bands.ts';
import { bilinearTaps, interpolate, type Taps, tapsBetween } from './bilinear.ts';
import type { TargetSize } from './segmentation.ts';

export interface LabelsOptions {
  /** Ends the work between two bands. */
  readonly signal?: AbortSignal;
}

/** @shape scores [H, W, V] -> [end - first, width, V] */
function scoresOfBand(scores_HWV: Tensor3D, rows: Taps, columns: Taps, { first, end }: Band): Tensor3D {
  const [, W, V] = scores_HWV.shape;
  const [top, bottom] = [rows.low[first], rows.high[end - 1] + 1];
  const needed = slice(scores_HWV, [top, 0, 0], [bottom - top, W, V]);
  return interpolate(needed, tapsBetween(rows, first, end, top), columns);
}

/** The class with the highest score at each pixel of another size: scores are resized by bilinear interpolation, in bands of rows, so that
 * a photograph may be large. @shape scores [H, W, V] -> [height, width], row by row @throws the signal's reason
 * @source detectron2 sem_seg_postprocess, then argmax */
export async function labelsAtSize(
  scores_HWV: Tensor3D,
  target: TargetSize,
  { signal }: LabelsOptions = {},
): Promise<Int32Array<ArrayBuffer>> {
  const [H, W, V] = scores_HWV.shape;
  const [height, width] = target;
  if (![height, width].every((side) => Number.isInteger(side) && side > 0)) {
    throw new Error(`labelsAtSize: the size is two positive integers; got [${target}]; give [height, width] in pixels`);
  }
  const [rows, columns] = [bilinearTaps(H, height), bilinearTaps(W, width)];
  const labels = new Int32Array(height * width);
  for (const { first, end } of bandsOf({ mask: [H, W], image: [H, W], target: [height, width] }, V)) {
    signal?.throwIfAborted();
    const band = tidied(() => argMax(scoresOfBand(scores_HWV, rows, columns, { first, end }), 2));
    try {
      labels.set(await band.data(), first * width);
    } finally {
      band.dispose();
    }
  }
  return labels;
}
