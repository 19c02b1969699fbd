import { mul, type Tensor, tensor1d } from '@tensorflow/tfjs-core';
import type { TargetSize } from '../inference/segmentation.ts';
import { refuse } from './refuse.ts';
import type { MaskTargets } from './targets.ts';

/** The size to which a batch's masks are padded, with zeros below and on the right: the given one, or the largest
 * height and width.
 * @throws when a mask is larger @source detectron2 Mask2Former prepare_targets */
export function paddedSizeOf(targets: readonly MaskTargets[], given: TargetSize | undefined): TargetSize {
  const sizes = targets.map(({ masks }) => masks.shape);
  if (given === undefined) return [Math.max(...sizes.map((s) => s[1])), Math.max(...sizes.map((s) => s[2]))];
  const image = sizes.findIndex(([, height, width]) => height > given[0] || width > given[1]);
  if (image >= 0) {
    const got = `masks [${sizes[image]}] of image ${image}`;
    refuse(`masks are no larger than the padded size, ${given[0]} x ${given[1]}`, got, 'correct paddedSize');
  }
  return given;
}

/** Points of the padded masks as points of the masks themselves. Those in the padding lie outside, where a sample is
 * 0 as well: nothing needs to be padded. @shape points [..., 2] (x, y), masks [N, H, W] -> [..., 2] */
export function pointsWithin<T extends Tensor>(points: T, [height, width]: TargetSize, masks: Tensor): T {
  const [, H, W] = masks.shape;
  return height === H && width === W ? points : mul(points, tensor1d([width / W, height / H]));
}
