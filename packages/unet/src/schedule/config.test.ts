import { loadGolden } from '@rass/testkit';
import { expect, it } from 'vitest';
import { parseScheduleConfig } from './config.ts';

const stable = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', num_train_timesteps: 1000 };

it("knows every field of diffusers' DDPMScheduler and DDIMScheduler", () => {
  const { fields } = loadGolden('unet/schedule-timesteps').config;
  const values: Record<string, unknown> = {
    beta_schedule: 'linear',
    trained_betas: null,
    variance_type: 'fixed_small',
    clip_sample: true,
    prediction_type: 'epsilon',
    thresholding: false,
    timestep_spacing: 'leading',
    set_alpha_to_one: true,
    rescale_betas_zero_snr: false,
    steps_offset: 0,
  };
  for (const names of Object.values(fields) as string[][]) {
    expect(names.length).toBeGreaterThan(14);
    for (const name of names)
      expect(() => parseScheduleConfig({ [name]: name in values ? values[name] : 1 }), name).not.toThrow();
  }
});

it('reads what Stable Diffusion is published with', () => {
  const pndm = {
    ...stable,
    _class_name: 'PNDMScheduler',
    _diffusers_version: '0.6.0',
    clip_sample: false,
    set_alpha_to_one: false,
    skip_prk_steps: true,
    steps_offset: 1,
    trained_betas: null,
  };
  expect(parseScheduleConfig(pndm)).toEqual({
    trainingSteps: 1000,
    betas: { curve: 'scaled_linear', start: 0.00085, end: 0.012 },
    zeroTerminalSnr: false,
    prediction: 'epsilon',
    clipRange: undefined,
    spacing: 'leading',
    stepsOffset: 1,
    endsClean: false,
    variance: 'fixed_small',
  });
  const velocity = { ...pndm, _class_name: 'DDIMScheduler', prediction_type: 'v_prediction' };
  expect(parseScheduleConfig(velocity).prediction).toBe('v_prediction');
  const turbo = {
    ...pndm,
    _class_name: 'EulerDiscreteScheduler',
    interpolation_type: 'linear',
    prediction_type: 'epsilon',
    sample_max_value: 1,
    timestep_spacing: 'trailing',
    timestep_type: 'discrete',
    use_karras_sigmas: false,
  };
  expect(parseScheduleConfig(turbo).spacing).toBe('trailing');
});

it("has diffusers' defaults", () => {
  expect(parseScheduleConfig({})).toMatchObject({
    betas: { curve: 'linear', start: 0.0001, end: 0.02 },
    clipRange: 1,
    endsClean: true,
    stepsOffset: 0,
  });
});

it('refuses by name', () => {
  const texts: [unknown, string][] = [
    [
      { thresholding: true },
      'schedule: thresholding true is not implemented; only false is; latent diffusion does without it',
    ],
    [
      { beta_schedule: 'sigmoid' },
      'schedule: beta_schedule is linear, scaled_linear or squaredcos_cap_v2; got "sigmoid"; correct config.json',
    ],
    [
      { variance_type: 'learned' },
      'schedule: variance_type is fixed_small, fixed_small_log or fixed_large; got "learned"',
    ],
    [
      { use_flow_sigmas: true },
      'schedule: use_flow_sigmas true is not implemented; only false or null is; latent diffusion does without it',
    ],
    [{ timestep_type: 'continuous' }, 'schedule: timestep_type "continuous" is not implemented; only "discrete" is'],
    [
      { trained_betas: [] },
      'schedule: trained_betas is a list of at least one number, or null; got []; correct config.json',
    ],
    [{ constructor: 1 }, 'schedule: every field of the config is known; got "constructor"; closest: '],
    [
      { beta_strat: 1 },
      'schedule: every field of the config is known; got "beta_strat"; closest: beta_start, beta_end',
    ],
    [
      { _class_name: 'FlowMatchEulerDiscreteScheduler' },
      'got "FlowMatchEulerDiscreteScheduler"; give that model\'s config.json',
    ],
    [
      { num_train_timesteps: 0 },
      'schedule: num_train_timesteps is a whole number from 1 up; got 0; correct config.json',
    ],
    ['{}', 'schedule: a config is an object; got "{}"; parse config.json with JSON.parse first'],
  ];
  for (const [json, text] of texts) expect(() => parseScheduleConfig(json)).toThrow(text);
  expect(() =>
    parseScheduleConfig({ thresholding: true, other: 1 }, { ignore: ['thresholding', 'other'] }),
  ).not.toThrow();
});
