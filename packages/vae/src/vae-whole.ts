import type { Tensor4D } from '@tensorflow/tfjs-core';
import type { VaeEncoder } from './params.ts';
import type { VaeOptions } from './pass.ts';
import { type Encoded, encodeNow, encodePass } from './passes.ts';

/** vaeEncode of images as they are: what a page loads for it has nothing of tiling in it. @throws like vaeEncode */
export function vaeEncodeWhole<Tap extends string = never>(
  p: VaeEncoder,
  image_BHWC: Tensor4D,
  options: Omit<VaeOptions<Tap>, 'tiling'> = {},
): Encoded<Tap> {
  return encodeNow(encodePass(p, image_BHWC, options, {}));
}
