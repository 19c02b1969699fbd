import type { RgbImage } from '@rass/images';
import { scaleLatents, type VaeEncoder, type VaeOptions, vaeEncode } from '@rass/vae';
import { type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { imageBatch } from './tensors.ts';

/** The latents of images as the UNet takes them: the mode of the encoder's distribution, scaled. @shape [B, h, w, C] */
export const latentsOf = (vae: VaeEncoder, images: readonly RgbImage[], options: VaeOptions = {}): Tensor4D =>
  tidy(() => scaleLatents(vae.config, vaeEncode(vae, imageBatch(images), options).posterior.mean));
