import { add, div, mul, sub, type Tensor4D, tensor1d, tidy } from '@tensorflow/tfjs-core';
import type { VaeConfig } from './config.ts';

function checkChannels(where: string, config: VaeConfig, latents: Tensor4D): void {
  if (latents.rank !== 4 || latents.shape[3] !== config.latentChannels) {
    throw new Error(
      `${where}: latents are [B, h, w, ${config.latentChannels}]; got [${latents.shape}]; NHWC, channels last`,
    );
  }
}

/** From the autoencoder's latents to the diffusion model's: shifted and scaled to about unit variance.
 * @shape [B, h, w, C] -> same @throws when the channels differ @source diffusers' pipelines, prepare_latents */
export function scaleLatents(config: VaeConfig, latents_BhwC: Tensor4D): Tensor4D {
  checkChannels('scaleLatents', config, latents_BhwC);
  const { latentsMean, latentsStd, shiftFactor = 0, scalingFactor } = config;
  return tidy(() => {
    if (latentsMean === undefined || latentsStd === undefined)
      return mul(sub(latents_BhwC, shiftFactor), scalingFactor);
    const centred = sub(latents_BhwC, tensor1d([...latentsMean]));
    return mul(div(centred, tensor1d([...latentsStd])), scalingFactor);
  });
}

/** From the diffusion model's latents back to the autoencoder's: the inverse of scaleLatents.
 * @shape [B, h, w, C] -> same @throws when the channels differ @source diffusers' pipelines, before vae.decode */
export function unscaleLatents(config: VaeConfig, latents_BhwC: Tensor4D): Tensor4D {
  checkChannels('unscaleLatents', config, latents_BhwC);
  const { latentsMean, latentsStd, shiftFactor = 0, scalingFactor } = config;
  return tidy(() => {
    const wide = div(latents_BhwC, scalingFactor);
    if (latentsMean === undefined || latentsStd === undefined) return add(wide, shiftFactor);
    return add(mul(wide, tensor1d([...latentsStd])), tensor1d([...latentsMean]));
  });
}
