import { anything, checkOptions, flag, type OptionRules } from '@rass/kernels/options';
import { normalNoise } from '@rass/nn';
import { add, clipByValue, mul, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { convertPrediction, type SampleAndPrediction } from './mixing.ts';
import { type NoiseSchedule, shareAt } from './noise-schedule.ts';
import type { SamplingStep } from './timesteps.ts';

/** Where random numbers come from: a seed, or your own standard normal values, [B, H, W, C]. */
export type NoiseSource = { readonly seed: number } | { readonly noise: Tensor4D };

/** A type, not an interface: only those pass through tidy's types. */
export type StepResult = {
  /** The sample at the step's previous timestep. [B, H, W, C] */
  readonly previous: Tensor4D;
  /** The clean sample that the prediction implies, clipped where the config says so. [B, H, W, C] */
  readonly clean: Tensor4D;
};

/** So small a variance counts as none. @source diffusers DDPMScheduler._get_variance */
const LEAST_VARIANCE = 1e-20;

function drawn(where: string, like_BHWC: Tensor4D, from: NoiseSource | undefined): Tensor4D {
  if (from === undefined) {
    throw new Error(`${where}: this step adds noise, which takes a seed; got none; give { seed } or { noise }`);
  }
  if ('seed' in from) return normalNoise(like_BHWC.shape, from.seed);
  if (`${from.noise.shape}` === `${like_BHWC.shape}`) return from.noise;
  throw new Error(
    `${where}: the noise has the sample's shape; got [${from.noise.shape}] for [${like_BHWC.shape}]; draw one value for each`,
  );
}

function impliedClean(schedule: NoiseSchedule, given: SampleAndPrediction, timestep: number): Tensor4D {
  const { clipRange } = schedule.config;
  const clean = convertPrediction(schedule, given, timestep, { to: 'sample' });
  return clipRange === undefined ? clean : clipByValue(clean, -clipRange, clipRange);
}

/** One step of denoising diffusion backwards: the mean of what may lie behind the sample, and noise.
 * The noise of a step must differ from that of the others: use another seed for each.
 * @shape sample, prediction [B, H, W, C] -> previous, clean [B, H, W, C]
 * @throws when the step adds noise and there is neither seed nor noise
 * @source diffusers DDPMScheduler.step, arXiv 2006.11239 */
export function ddpmStep(
  schedule: NoiseSchedule,
  given: SampleAndPrediction,
  step: SamplingStep,
  noise?: NoiseSource,
): StepResult {
  const share = shareAt(schedule, step.timestep);
  const before = step.previous < 0 ? 1 : shareAt(schedule, step.previous);
  const alpha = share / before;
  return tidy(() => {
    const clean = impliedClean(schedule, given, step.timestep);
    const ofClean = (Math.sqrt(before) * (1 - alpha)) / (1 - share);
    const ofSample = (Math.sqrt(alpha) * (1 - before)) / (1 - share);
    const mean = add(mul(clean, ofClean), mul(given.sample, ofSample)) as Tensor4D;
    const variance = (schedule.config.variance === 'fixed_large' ? 1 : (1 - before) / (1 - share)) * (1 - alpha);
    if (step.timestep === 0 || variance < LEAST_VARIANCE) return { previous: mean, clean };
    return { previous: add(mean, mul(drawn('ddpmStep', given.sample, noise), Math.sqrt(variance))), clean };
  });
}

export interface DdimOptions {
  /** Share of DDPM's noise to add, from 0 (default, deterministic) to 1. */
  eta?: number;
  /** Needed where eta is not 0. */
  noise?: NoiseSource;
  /** Infer the noise again from the clipped clean sample. */
  useClippedPrediction?: boolean;
}

const DDIM_OPTIONS_RULES: OptionRules<DdimOptions> = { eta: anything, noise: anything, useClippedPrediction: flag };

/** One step of DDIM.
 * @shape sample, prediction [B, H, W, C] -> previous, clean [B, H, W, C]
 * @throws when eta is not 0 and there is neither seed nor noise @source diffusers DDIMScheduler.step, arXiv 2010.02502 */
export function ddimStep(
  schedule: NoiseSchedule,
  given: SampleAndPrediction,
  step: SamplingStep,
  options: DdimOptions = {},
): StepResult {
  checkOptions('ddimStep', options, DDIM_OPTIONS_RULES);
  const { eta = 0, noise, useClippedPrediction = false } = options;
  const share = shareAt(schedule, step.timestep);
  if (!(eta >= 0 && eta <= 1)) throw new Error(`ddimStep: eta is from 0 to 1; got ${eta}; 0 adds no noise`);
  const end = schedule.config.endsClean ? 1 : schedule.alphaBar[0];
  const before = step.previous < 0 ? end : shareAt(schedule, step.previous);
  return tidy(() => {
    const clean = impliedClean(schedule, given, step.timestep);
    const [prediction, from] = useClippedPrediction
      ? ([clean, 'sample'] as const)
      : ([given.prediction, undefined] as const);
    const epsilon = convertPrediction(schedule, { ...given, prediction }, step.timestep, { from, to: 'epsilon' });
    const deviation = eta * Math.sqrt(((1 - before) / (1 - share)) * (1 - share / before));
    const direction = Math.sqrt(Math.max(0, 1 - before - deviation ** 2));
    const previous = add(mul(clean, Math.sqrt(before)), mul(epsilon, direction)) as Tensor4D;
    if (eta === 0) return { previous, clean };
    return { previous: add(previous, mul(drawn('ddimStep', given.sample, noise), deviation)), clean };
  });
}
