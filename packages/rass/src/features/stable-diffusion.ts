import type { FeaturePyramid } from '@rass/mask2former';
import { type Unet, unet } from '@rass/unet';
import { sampleLatents, scaleLatents, type VaeEncoder, vaeEncodeWhole } from '@rass/vae';
import { type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { type FeatureFusion, featureFusion } from './fusion.ts';
import { type FeatureTap, RASS_TAPS, tapsOf } from './taps.ts';

/** The frozen model with whatever adapters are on it, and what makes a pyramid of its features. */
export interface RassBackbone {
  readonly vae: VaeEncoder;
  readonly unet: Unet;
  readonly fusion: FeatureFusion;
}

export interface FeatureOptions {
  /** Default RASS's, t = 1. */
  readonly timestep?: number;
  /** Draws the latents from the encoder's distribution instead of taking their mode; upstream draws them, at test time too. */
  readonly latentSeed?: number;
  /** In training, compute the UNet's blocks again in the backward pass instead of keeping what they made. */
  readonly checkpointing?: boolean;
}

/** The feature maps of one pass of Stable Diffusion: the encoder's, and the UNet's at one timestep on the image's own latents.
 * @shape image [B, H, W, 3] in [-1, 1], text [B, T, D] -> a map for each tap, by its name
 * @source github.com/Ka1Guan/RASS Generator_with_pretrain.forward */
export function stableDiffusionTaps(
  { vae, unet: denoiser }: Pick<RassBackbone, 'vae' | 'unet'>,
  image_BHWC: Tensor4D,
  text_BTD: Tensor3D,
  options: FeatureOptions & { readonly taps?: readonly FeatureTap[] } = {},
): Record<string, Tensor4D> {
  const { timestep = 1, latentSeed, checkpointing, taps = RASS_TAPS } = options;
  return tidy(() => {
    const encoded = vaeEncodeWhole(vae, image_BHWC, { taps: tapsOf(taps, 'vae.') });
    const latents =
      latentSeed === undefined ? encoded.posterior.mean : sampleLatents(encoded.posterior, { seed: latentSeed });
    const { taps: ofUnet } = unet(denoiser, {
      sample_BHWC: scaleLatents(vae.config, latents),
      timestep,
      text_BTD,
      taps: tapsOf(taps, 'unet.'),
      checkpointing,
    });
    return Object.fromEntries([
      ...Object.entries(encoded.taps).map(([name, map]) => [`vae.${name}`, map]),
      ...Object.entries(ofUnet).map(([name, map]) => [`unet.${name}`, map]),
    ]);
  });
}

/** What the segmentation head looks at. Sides are multiples of 8: see padImage.
 * @shape image [B, H, W, 3] in [-1, 1], text [B, T, D] -> see FeaturePyramid */
export function rassFeatures(
  p: RassBackbone,
  image_BHWC: Tensor4D,
  text_BTD: Tensor3D,
  options: FeatureOptions = {},
): FeaturePyramid {
  const { res2, res3, res4, res5 } = tidy(() => {
    const taps = p.fusion.projections.map(({ tap }) => tap);
    const maps = stableDiffusionTaps(p, image_BHWC, text_BTD, { ...options, taps });
    const pyramid = featureFusion(p.fusion, maps, [image_BHWC.shape[1], image_BHWC.shape[2]]);
    return { ...pyramid };
  });
  return { res2, res3, res4, res5 };
}
