import type { Tensor4D } from '@tensorflow/tfjs-core';

/** @throws unless both are [B, H, W, 3] of one size */
export function checkImagePair(where: string, image: Tensor4D, reference: Tensor4D): void {
  const [a, b] = [image.shape.join(), reference.shape.join()];
  if (a === b && image.rank === 4 && image.shape[3] === 3) return;
  throw new Error(
    `${where}: two images of one size are compared, [B, H, W, 3] with values from -1 to 1; got [${a}] and [${b}]; resize or crop one`,
  );
}
