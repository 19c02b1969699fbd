import type { Tensor4D } from '@tensorflow/tfjs-core';

/** Features of an image at strides 4, 8, 16 and 32: what any backbone gives and the pixel decoder takes. Each [B, H / stride, W / stride, C] */
export interface FeaturePyramid {
  readonly res2: Tensor4D;
  readonly res3: Tensor4D;
  readonly res4: Tensor4D;
  readonly res5: Tensor4D;
}

/** How many channels each level has. */
export type PyramidChannels = { readonly [Level in keyof FeaturePyramid]: number };
