import { anything, checkOptions, flag, type OptionRules, oneOf } from '@rass/kernels/options';
import type { ParamSource } from '@rass/nn';
import {
  type NoiseSchedule,
  type NoiseScheduleConfig,
  noiseSchedule,
  oneStepUpdate,
  type Unet,
  type UnetConfig,
  unet,
  unetParams,
} from '@rass/unet';
import { scaleLatents, unscaleLatents, type Vae, type VaeConfig, vaeDecode, vaeEncode, vaeParams } from '@rass/vae';
import { type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';

/** Stable Diffusion with whatever adapters are on its UNet: what restores in one step. */
export interface Restorer {
  readonly vae: Vae;
  readonly unet: Unet;
  readonly schedule: NoiseSchedule;
}

export interface LatentStepOptions {
  /** What the network's output is to the latents: `residual` (default), z - e, or `ddpm`, the clean sample that e implies at the timestep. At
   * t = 1 of Stable Diffusion the network acts 24 times weaker in the second form, which is OSEDiff's and the released RASS's. */
  readonly latentUpdate?: 'residual' | 'ddpm';
  /** Default 1, RASS's. OSEDiff takes 999. */
  readonly timestep?: number;
  /** Attentions whose probabilities to hand out, by name: see attentionNames of @rass/unet. */
  readonly attention?: readonly string[];
  /** In training, compute blocks again in the backward pass instead of keeping what they made. */
  readonly checkpointing?: boolean;
}

/** A type, not an interface: only those pass through tidy's types. */
export type LatentStep = {
  /** [B, h, w, C], scaled as the UNet takes them */
  readonly latents: Tensor4D;
  /** The probabilities that were asked for. [B, N, L, T] each */
  readonly attention: Readonly<Record<string, Tensor4D>>;
};

export const DEFAULT_TIMESTEP = 1;

/** Asks the source for the whole model, each part below its folder's name in diffusers. */
export function restorerParams(
  from: ParamSource,
  config: { readonly vae: VaeConfig; readonly unet: UnetConfig; readonly schedule: NoiseScheduleConfig },
): Restorer {
  return {
    vae: vaeParams(from.at('vae'), config.vae),
    unet: unetParams(from.at('unet'), config.unet),
    schedule: noiseSchedule(config.schedule),
  };
}

const LATENT_STEP_OPTIONS_RULES: OptionRules<LatentStepOptions> = {
  latentUpdate: oneOf('residual', 'ddpm'),
  timestep: anything,
  attention: anything,
  checkpointing: flag,
};

/** One step from a bad photograph's latents to a good one's, differentiable. At t = 1 the photograph's own latents are its input.
 * @shape latents [B, h, w, C] scaled, text [B, T, D] -> latents [B, h, w, C]
 * @source OSEDiff, arXiv 2406.08177; PiSA-SR, arXiv 2412.03017 */
export function restoreLatents(
  { unet: denoiser, schedule }: Pick<Restorer, 'unet' | 'schedule'>,
  latents_BhwC: Tensor4D,
  text_BTD: Tensor3D,
  options: LatentStepOptions = {},
): LatentStep {
  checkOptions('restoreLatents', options, LATENT_STEP_OPTIONS_RULES);
  const { latentUpdate: form = 'residual', timestep = DEFAULT_TIMESTEP, attention = [], checkpointing } = options;
  return tidy(() => {
    const predicted = unet(denoiser, { sample_BHWC: latents_BhwC, timestep, text_BTD, attention, checkpointing });
    const latents = oneStepUpdate(schedule, { sample: latents_BhwC, prediction: predicted.sample }, timestep, { form });
    return { latents, attention: predicted.attention };
  });
}

export type Restored = {
  /** [B, H, W, 3] in about [-1, 1], not clipped */
  readonly image: Tensor4D;
  readonly attention: Readonly<Record<string, Tensor4D>>;
};

/** A photograph restored in one step, differentiable. The latents are the mode of the encoder's distribution, so that a photograph
 * has one restoration. Sides are multiples of 8: see padImage.
 * @shape image [B, H, W, 3] in [-1, 1], text [B, T, D] -> [B, H, W, 3] */
export function restore(
  p: Restorer,
  image_BHWC: Tensor4D,
  text_BTD: Tensor3D,
  options: LatentStepOptions = {},
): Restored {
  checkOptions('restore', options, LATENT_STEP_OPTIONS_RULES);
  return tidy(() => {
    const latents = tidy(() => scaleLatents(p.vae.config, vaeEncode(p.vae, image_BHWC).posterior.mean));
    const step = restoreLatents(p, latents, text_BTD, options);
    const { checkpointing } = options;
    const { image } = vaeDecode(p.vae, unscaleLatents(p.vae.config, step.latents), { checkpointing });
    return { image, attention: step.attention };
  });
}
