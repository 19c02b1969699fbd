import type { Tensor4D } from '@tensorflow/tfjs-core';
import { exactPlan } from './bands/exact.ts';
import type { VaeDecoder, VaeEncoder } from './params.ts';
import type { Tilers, VaeOptions } from './pass.ts';
import { type Decoded, decodeNow, decodePass, type Encoded, encodeNow, encodePass } from './passes.ts';
import { blendPlan } from './tiles.ts';

const TILERS: Tilers = { exact: exactPlan, blend: blendPlan };

/** Images to distributions of latents, differentiable. Sides that do not divide by 8 are rounded down, as in diffusers.
 * @shape image [B, H, W, 3] in [-1, 1] -> mean, logVariance [B, H/8, W/8, C]
 * @throws when the image does not fit, or an unknown tap or a combination that cannot be is asked for
 * @source diffusers AutoencoderKL.encode */
export function vaeEncode<Tap extends string = never>(
  p: VaeEncoder,
  image_BHWC: Tensor4D,
  options: VaeOptions<Tap> = {},
): Encoded<Tap> {
  return encodeNow(encodePass(p, image_BHWC, options, TILERS));
}

/** Latents, not scaled (see unscaleLatents), to images, differentiable.
 * @shape latents [B, h, w, C] -> image [B, 8 h, 8 w, 3] in about [-1, 1]
 * @throws when the latents do not fit, or an unknown tap or a combination that cannot be is asked for
 * @source diffusers AutoencoderKL.decode */
export function vaeDecode<Tap extends string = never>(
  p: VaeDecoder,
  latents_BhwC: Tensor4D,
  options: VaeOptions<Tap> = {},
): Decoded<Tap> {
  return decodeNow(decodePass(p, latents_BhwC, options, TILERS));
}
