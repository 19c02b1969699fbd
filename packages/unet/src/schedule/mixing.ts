import { anything, checkOptions, type OptionRules } from '@rass/kernels/options';
import { add, mul, type Tensor, type Tensor4D, tensor4d, tidy } from '@tensorflow/tfjs-core';
import type { Prediction } from './config.ts';
import { type NoiseSchedule, shareAt } from './noise-schedule.ts';

/** One timestep for all samples of a batch, or one for each. */
export type ScheduleTimestep = number | readonly number[];

/** A clean sample and the noise that is mixed into it. Named, since they have one type and one shape. [B, H, W, C] each */
export interface CleanAndNoise {
  readonly clean: Tensor4D;
  readonly noise: Tensor4D;
}

/** A noised sample and what the model says of it. Named, since they have one type and one shape. [B, H, W, C] each */
export interface SampleAndPrediction {
  readonly sample: Tensor4D;
  readonly prediction: Tensor4D;
}

type Weights = readonly [ofFirst: number, ofSecond: number];

/** a * first + b * second, with weights for each sample. @shape [B, ...] -> same */
function mix(
  first: Tensor4D,
  second: Tensor4D,
  timestep: ScheduleTimestep,
  weightsAt: (timestep: number) => Weights,
): Tensor4D {
  if (`${first.shape}` !== `${second.shape}`) {
    throw new Error(
      `schedule: two tensors of one shape are mixed; got [${first.shape}] and [${second.shape}]; give images of one size`,
    );
  }
  if (typeof timestep === 'number') {
    const [a, b] = weightsAt(timestep);
    return tidy(() => add(mul(first, a), mul(second, b)));
  }
  const [batch] = first.shape;
  if (timestep.length !== batch) {
    throw new Error(
      `schedule: one timestep for all samples or one for each; got ${timestep.length} for ${batch} samples; give ${batch}`,
    );
  }
  const weights = timestep.map(weightsAt);
  const column = (which: 0 | 1): Tensor => tensor4d(weights.map((w) => w[which]), [batch, 1, 1, 1]); // biome-ignore format: short
  return tidy(() => add(mul(first, column(0)), mul(second, column(1))));
}

/** Noises clean samples as far as a timestep: sqrt(alphaBar) x0 + sqrt(1 - alphaBar) e.
 * @shape clean, noise [B, H, W, C] -> same @source diffusers DDPMScheduler.add_noise */
export function addNoise(
  schedule: NoiseSchedule,
  { clean, noise }: CleanAndNoise,
  timestep: ScheduleTimestep,
): Tensor4D {
  return mix(clean, noise, timestep, (t) => {
    const share = shareAt(schedule, t);
    return [Math.sqrt(share), Math.sqrt(1 - share)];
  });
}

/** What a v-predicting model is trained to say: sqrt(alphaBar) e - sqrt(1 - alphaBar) x0.
 * @shape clean, noise [B, H, W, C] -> same @source diffusers DDPMScheduler.get_velocity, arXiv 2202.00512 */
export function velocity(
  schedule: NoiseSchedule,
  { clean, noise }: CleanAndNoise,
  timestep: ScheduleTimestep,
): Tensor4D {
  return mix(clean, noise, timestep, (t) => {
    const share = shareAt(schedule, t);
    return [-Math.sqrt(1 - share), Math.sqrt(share)];
  });
}

const KINDS: readonly Prediction[] = ['epsilon', 'sample', 'v_prediction'];

function checkKind(what: string, kind: Prediction): void {
  if (KINDS.includes(kind)) return;
  throw new Error(
    `schedule: ${what} is epsilon, sample or v_prediction; got ${JSON.stringify(kind)}; give what the model predicts`,
  );
}

/** result = [0] * prediction + [1] * noised sample, where signal^2 + noise^2 = 1. */
function conversion(from: Prediction, to: Prediction, signal: number, noise: number): Weights {
  if (from === to) return [1, 0];
  switch (`${from} ${to}` as const) {
    case 'epsilon sample':
      return [-noise / signal, 1 / signal];
    case 'v_prediction sample':
      return [-noise, signal];
    case 'sample epsilon':
      return [-signal / noise, 1 / noise];
    case 'v_prediction epsilon':
      return [signal, noise];
    case 'epsilon v_prediction':
      return [1 / signal, -noise / signal];
    default:
      // From the clean sample to the velocity: the kinds have been checked.
      return [-1 / noise, signal / noise];
  }
}

/** Turns one kind of prediction into another: the noise, the clean sample or the velocity, all said of the same noised
 * sample. @shape sample, prediction [B, H, W, C] -> same
 * @throws on an unknown kind, and where the noised sample holds no signal (or no noise) to tell it from @source diffusers DDIMScheduler.step */
export function convertPrediction(
  schedule: NoiseSchedule,
  { sample, prediction }: SampleAndPrediction,
  timestep: ScheduleTimestep,
  kinds: { from?: Prediction; to: Prediction },
): Tensor4D {
  const { from = schedule.config.prediction, to } = kinds;
  checkKind('the prediction to convert from', from);
  checkKind('the prediction to convert to', to);
  return mix(prediction, sample, timestep, (t) => {
    const share = shareAt(schedule, t);
    const weights = conversion(from, to, Math.sqrt(share), Math.sqrt(1 - share));
    if (weights.every(Number.isFinite)) return weights;
    throw new Error(
      `schedule: ${from} becomes ${to} where a sample holds both signal and noise; got timestep ${t}, whose share of signal is ${share}; predict v_prediction there`,
    );
  });
}

export interface OneStepOptions {
  /** `ddpm` (default): the clean sample that the prediction implies, (z - sqrt(1 - alphaBar) e) / sqrt(alphaBar).
   * `residual`: z - e, in which at small timesteps the network weighs far more: 24 times at t = 1 of Stable Diffusion. */
  form?: 'ddpm' | 'residual';
  /** What the model predicts; default the schedule's. */
  prediction?: Prediction;
}

const ONE_STEP_OPTIONS_RULES: OptionRules<OneStepOptions> = { form: anything, prediction: anything };

/** One step from a sample straight to the clean one, as one-step restoration takes it.
 * @shape sample, prediction [B, H, W, C] -> same @throws on an unknown form or kind @source OSEDiff, arXiv 2406.08177 (ddpm); PiSA-SR, arXiv 2412.03017 (residual) */
export function oneStepUpdate(
  schedule: NoiseSchedule,
  given: SampleAndPrediction,
  timestep: ScheduleTimestep,
  options: OneStepOptions = {},
): Tensor4D {
  checkOptions('oneStepUpdate', options, ONE_STEP_OPTIONS_RULES);
  const { form = 'ddpm', prediction: from } = options;
  if (form !== 'ddpm' && form !== 'residual') {
    throw new Error(`oneStepUpdate: form is ddpm or residual; got ${JSON.stringify(form)}; give one of them`);
  }
  if (form === 'ddpm') return convertPrediction(schedule, given, timestep, { from, to: 'sample' });
  return tidy(() => {
    const noise_BHWC = convertPrediction(schedule, given, timestep, { from, to: 'epsilon' });
    return mix(given.sample, noise_BHWC, timestep, () => [1, -1]);
  });
}
