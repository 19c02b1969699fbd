import { checkOptions, listOf, type OptionRules, text } from '@rass/kernels/options';
import { MOST } from '@rass/nn';
import * as v from 'valibot';
import { type ConfigRules, readDiffusersConfig } from '../diffusers-config.ts';

/** What a model predicts: the noise, the clean sample, or the velocity between them. */
export type Prediction = 'epsilon' | 'sample' | 'v_prediction';

/** How noise grows over the training steps, and how samplers walk back. */
export interface NoiseScheduleConfig {
  /** Steps of the schedule in training; timesteps are below it. */
  readonly trainingSteps: number;
  readonly betas:
    | { readonly curve: 'linear' | 'scaled_linear'; readonly start: number; readonly end: number }
    | { readonly curve: 'squaredcos_cap_v2' }
    | { readonly curve: 'given'; readonly values: readonly number[] };
  /** Stretch the schedule so that nothing of the sample is left at its last step. */
  readonly zeroTerminalSnr: boolean;
  readonly prediction: Prediction;
  /** Samplers clip the clean sample that they infer to [-range, range]; absent: they do not. */
  readonly clipRange?: number;
  /** How few sampling steps are laid over the training steps. */
  readonly spacing: 'leading' | 'trailing' | 'linspace';
  /** Added to the steps of `leading`. */
  readonly stepsOffset: number;
  /** DDIM's last step ends at the clean sample; otherwise at the noise of timestep 0. */
  readonly endsClean: boolean;
  /** The variance of DDPM's noise: of the posterior, or the larger one of the forward step. */
  readonly variance: 'fixed_small' | 'fixed_large';
}

const COUNT = 'is a whole number from 1 up';
const SWITCH = 'is true or false';
const NUMBERS = 'is a list of at least one number, or null';
const WHOLE = 'is a whole number from 0 up';
const names = <const Names extends readonly string[]>(...list: Names) =>
  v.picklist(list, `is ${list.slice(0, -1).join(', ')} or ${list.at(-1)}`);
const number = v.pipe(v.number('is a number'), v.finite('is a finite number'));

const fields = v.object({
  num_train_timesteps: v.optional(
    v.pipe(v.number(COUNT), v.integer(COUNT), v.minValue(1, COUNT), v.maxValue(MOST.steps, `is at most ${MOST.steps}`)),
    1000,
  ),
  beta_start: v.optional(number, 0.0001),
  beta_end: v.optional(number, 0.02),
  beta_schedule: v.optional(names('linear', 'scaled_linear', 'squaredcos_cap_v2'), 'linear'),
  trained_betas: v.optional(
    v.nullable(
      v.pipe(
        v.array(number, NUMBERS),
        v.minLength(1, NUMBERS),
        v.maxLength(MOST.steps, `has at most ${MOST.steps} numbers`),
      ),
    ),
    null,
  ),
  variance_type: v.optional(names('fixed_small', 'fixed_small_log', 'fixed_large'), 'fixed_small'),
  clip_sample: v.optional(v.boolean(SWITCH), true),
  clip_sample_range: v.optional(number, 1),
  prediction_type: v.optional(names('epsilon', 'sample', 'v_prediction'), 'epsilon'),
  set_alpha_to_one: v.optional(v.boolean(SWITCH), true),
  timestep_spacing: v.optional(names('leading', 'trailing', 'linspace'), 'leading'),
  steps_offset: v.optional(
    v.pipe(v.number(WHOLE), v.integer(WHOLE), v.minValue(0, WHOLE), v.maxValue(MOST.steps, `is at most ${MOST.steps}`)),
    0,
  ),
  rescale_betas_zero_snr: v.optional(v.boolean(SWITCH), false),
});

const rules: ConfigRules<(typeof fields)['entries']> = {
  where: 'schedule',
  // diffusers gives its samplers each other's files: Stable Diffusion's own are written for these.
  classes: [
    'DDPMScheduler',
    'DDIMScheduler',
    'PNDMScheduler',
    'EulerDiscreteScheduler',
    'EulerAncestralDiscreteScheduler',
    'LMSDiscreteScheduler',
    'DPMSolverMultistepScheduler',
    'UniPCMultistepScheduler',
    'LCMScheduler',
  ],
  fields,
  refused: {
    thresholding: [false],
    // Another process altogether: x = (1 - t) x0 + t e, with no betas.
    use_flow_sigmas: [false, null],
    // The model was trained on the logarithm of the noise's deviation in place of a step's number.
    timestep_type: ['discrete'],
  },
  idle: [
    // Of dynamic thresholding, which is refused.
    'dynamic_thresholding_ratio',
    'sample_max_value',
    // How the other samplers in the list above walk over the same noise; DDPM and DDIM in diffusers pass over them too.
    'skip_prk_steps',
    'interpolation_type',
    'use_karras_sigmas',
    'use_exponential_sigmas',
    'use_beta_sigmas',
    'sigma_min',
    'sigma_max',
    'final_sigmas_type',
    'algorithm_type',
    'solver_type',
    'solver_order',
    'solver_p',
    'lower_order_final',
    'euler_at_final',
    'use_lu_lambdas',
    'flow_shift',
    'lambda_min_clipped',
    'predict_x0',
    'disable_corrector',
    'original_inference_steps',
    'timestep_scaling',
  ],
  remedy: 'latent diffusion does without it',
};

export interface ScheduleConfigOptions {
  /** Unknown or refused fields that the caller knows not to matter. */
  ignore?: readonly string[];
}

const SCHEDULE_CONFIG_OPTIONS_RULES: OptionRules<ScheduleConfigOptions> = { ignore: listOf(text) };

/** Reads diffusers' scheduler/scheduler_config.json, unchanged, as DDPMScheduler and DDIMScheduler would: what is absent
 * has their default, what belongs to other samplers is passed over.
 * @throws when a field is unknown, has a wrong value, or asks for what is not implemented, each by name
 * @source diffusers DDPMScheduler, DDIMScheduler */
export function parseScheduleConfig(json: unknown, options: ScheduleConfigOptions = {}): NoiseScheduleConfig {
  checkOptions('parseScheduleConfig', options, SCHEDULE_CONFIG_OPTIONS_RULES);
  const { ignore = [] } = options;
  const c = readDiffusersConfig(json, rules, ignore);
  return {
    trainingSteps: c.trained_betas?.length ?? c.num_train_timesteps,
    betas: betasOf(c),
    zeroTerminalSnr: c.rescale_betas_zero_snr,
    prediction: c.prediction_type,
    clipRange: c.clip_sample ? c.clip_sample_range : undefined,
    spacing: c.timestep_spacing,
    stepsOffset: c.steps_offset,
    endsClean: c.set_alpha_to_one,
    // The logarithmic form of the small variance is the same number.
    variance: c.variance_type === 'fixed_large' ? 'fixed_large' : 'fixed_small',
  };
}

function betasOf(c: v.InferOutput<typeof fields>): NoiseScheduleConfig['betas'] {
  if (c.trained_betas !== null) return { curve: 'given', values: c.trained_betas };
  if (c.beta_schedule === 'squaredcos_cap_v2') return { curve: c.beta_schedule };
  return { curve: c.beta_schedule, start: c.beta_start, end: c.beta_end };
}
