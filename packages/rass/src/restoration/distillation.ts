import { detached } from '@rass/kernels';
import { checkOptions, finite, flag, type OptionRules } from '@rass/kernels/options';
import { addNoise, convertPrediction, type NoiseSchedule, type Unet, unet, velocity } from '@rass/unet';
import {
  abs,
  add,
  div,
  maximum,
  mean,
  mul,
  type Scalar,
  square,
  sub,
  type Tensor3D,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';

interface GuidanceOptions {
  /** How far the frozen model is led from what it makes without a prompt; default 7.5. */
  readonly guidance?: number;
}

const GUIDANCE_RULES: OptionRules<GuidanceOptions> = { guidance: finite };

/** A diffusion model that judges latents, frozen. */
export interface Judge {
  readonly unet: Unet;
  readonly schedule: NoiseSchedule;
}

/** What a judgement looks at. */
export interface JudgedLatents {
  /** Restored latents, scaled as the UNet takes them. [B, h, w, C] */
  readonly latents: Tensor4D;
  /** Standard normal, drawn anew for each step. [B, h, w, C] */
  readonly noise: Tensor4D;
  /** How far the latents are noised; one for each sample, or one for all. */
  readonly timestep: number | readonly number[];
  /** Of the prompts. [B, T, D] */
  readonly text: Tensor3D;
  /** Of the negative prompts, or of empty ones. [B, T, D] */
  readonly negativeText: Tensor3D;
}

/** Classifier-free guidance of the frozen model. @source OSEDiff, PiSA-SR */
const GUIDANCE = 7.5;
/** Below it latents count as the frozen model's own guess, and are not pulled at. */
const LEAST_DISTANCE = 1e-8;

/** What a model takes for the clean latents behind noised ones. */
function guess({ unet: judge, schedule }: Judge, noised: Tensor4D, text: Tensor3D, at: JudgedLatents): Tensor4D {
  const { timestep } = at;
  return tidy(() => {
    const { sample } = unet(judge, { sample_BHWC: noised, timestep, text_BTD: text });
    return convertPrediction(schedule, { sample: noised, prediction: sample }, timestep, { to: 'sample' });
  });
}

/** The frozen model's guess without a prompt and with guidance towards it. */
function guided(
  judge: Judge,
  noised: Tensor4D,
  at: JudgedLatents,
  guidance: number,
): { free: Tensor4D; led: Tensor4D } {
  return tidy(() => {
    const led = guess(judge, noised, at.text, at);
    const free = guess(judge, noised, at.negativeText, at);
    return { free, led: add(free, mul(sub(led, free), guidance)) };
  });
}

/** Half of nothing: a loss whose gradient by the latents is 2/n times the given direction, each sample's scaled by its distance to the goal. */
function pull(latents: Tensor4D, direction: () => { from: Tensor4D; goal: Tensor4D }): Scalar {
  const target = detached(() => {
    const { from, goal } = direction();
    const distance = maximum(mean(abs(sub(latents, goal)), [1, 2, 3], true), LEAST_DISTANCE);
    return sub(latents, div(sub(from, goal), distance));
  });
  return mean(square(sub(latents, target)));
}

/** Classifier score distillation: pulls latents from what the frozen model makes of them without the prompt to what it makes of them with
 * it. Differentiable by the latents alone. @shape a scalar @source PiSA-SR, arXiv 2412.03017 */
export function csdLoss(judge: Judge, at: JudgedLatents, options: GuidanceOptions = {}): Scalar {
  checkOptions('csdLoss', options, GUIDANCE_RULES);
  const { guidance = GUIDANCE } = options;
  return tidy(() =>
    pull(at.latents, () => {
      const noised = addNoise(judge.schedule, { clean: at.latents, noise: at.noise }, at.timestep);
      const { free, led } = guided(judge, noised, at, guidance);
      return { from: free, goal: led };
    }),
  );
}

/** Variational score distillation: pulls latents from what a second model, trained on restored latents (studentLoss), makes of them
 * to what the frozen model with guidance makes of them. Differentiable by the latents alone. @shape a scalar
 * @source OSEDiff, arXiv 2406.08177 */
export function vsdLoss(judge: Judge, student: Unet, at: JudgedLatents, options: GuidanceOptions = {}): Scalar {
  checkOptions('vsdLoss', options, GUIDANCE_RULES);
  const { guidance = GUIDANCE } = options;
  return tidy(() =>
    pull(at.latents, () => {
      const noised = addNoise(judge.schedule, { clean: at.latents, noise: at.noise }, at.timestep);
      const from = guess({ unet: student, schedule: judge.schedule }, noised, at.text, at);
      return { from, goal: guided(judge, noised, at, guidance).led };
    }),
  );
}

const STUDENT_RULES: OptionRules<{ readonly checkpointing?: boolean }> = { checkpointing: flag };

/** What the second model of vsdLoss is trained by: the diffusion loss on restored latents, which are constants here.
 * @shape a scalar @source OSEDiff, arXiv 2406.08177 */
export function studentLoss(
  student: Unet,
  schedule: NoiseSchedule,
  at: Omit<JudgedLatents, 'negativeText'>,
  options: { readonly checkpointing?: boolean } = {},
): Scalar {
  checkOptions('studentLoss', options, STUDENT_RULES);
  const { checkpointing } = options;
  const { latents, noise, timestep, text } = at;
  return tidy(() => {
    const { noised, target } = detached(() => ({
      noised: addNoise(schedule, { clean: latents, noise }, timestep),
      target:
        schedule.config.prediction === 'v_prediction'
          ? velocity(schedule, { clean: latents, noise }, timestep)
          : noise.clone(),
    }));
    const inputs = { sample_BHWC: noised, timestep, text_BTD: text, checkpointing };
    return mean(square(sub(unet(student, inputs).sample, target)));
  });
}
