import { describeOnBackends, expectClose, expectNoLeaks, loadGolden } from '@rass/testkit';
import { dispose, grads, mul, sum, type Tensor, type Tensor4D, tensor4d } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseScheduleConfig } from './config.ts';
import { addNoise, convertPrediction, oneStepUpdate, velocity } from './mixing.ts';
import { type NoiseSchedule, noiseSchedule } from './noise-schedule.ts';
import { ddimStep, ddpmStep } from './sampling.ts';
import { ddimSteps, ddpmSteps, timesteps } from './timesteps.ts';

const SD = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };
const scheduleOf = (json: object): NoiseSchedule => noiseSchedule(parseScheduleConfig(json));
const sd = scheduleOf(SD);
const image = (value: number): Tensor4D => tensor4d([value], [1, 1, 1, 1]);

describe('noise schedules', () => {
  const golden = loadGolden('unet/schedule-shares');

  it.each(['linear', 'scaled_linear', 'squaredcos_cap_v2', 'zero-snr', 'given'])(
    '%s: the shares of diffusers',
    (name) => {
      const { alphaBar } = scheduleOf(golden.config[name]);
      const expected = golden.raw(`out/${name}`).values;
      expect(alphaBar.length).toBe(expected.length);
      // diffusers multiplies in float32, so that the smallest shares drift; each is compared by itself all the same.
      alphaBar.forEach((share, t) => {
        expect(Math.abs(share - expected[t]), `alphaBar[${t}]`).toBeLessThanOrEqual(2e-4 * expected[t]);
      });
    },
  );

  it('ends at exactly zero signal when told to', () => {
    const { alphaBar, betas } = scheduleOf({ ...SD, rescale_betas_zero_snr: true });
    expect(alphaBar[999]).toBe(0);
    expect(betas[999]).toBe(1);
    expect(alphaBar[0]).toBeCloseTo(sd.alphaBar[0], 12);
  });

  it("gives Stable Diffusion's figures", () => {
    expect(sd.alphaBar[0]).toBeCloseTo(1 - 0.00085, 12);
    expect(sd.alphaBar[1]).toBeCloseTo(0.998296, 6);
    expect(sd.alphaBar[999]).toBeCloseTo(0.00466, 5);
  });

  it('lays its timesteps as diffusers does', () => {
    const { cases } = loadGolden('unet/schedule-timesteps').config;
    expect(cases.length).toBeGreaterThan(70);
    for (const { spacing, offset, count, steps } of cases) {
      const ours = timesteps(scheduleOf({ timestep_spacing: spacing, steps_offset: offset }), count);
      const short = count <= 60 ? ours : [ours[0], ours.at(-1), ours.reduce((a, b) => a + b, 0)];
      expect(ours.length).toBe(count);
      expect(short, `${spacing} + ${offset}, ${count} steps`).toEqual(steps);
    }
  });

  it('chains the steps of DDPM, and gives those of DDIM one length', () => {
    const trailing = scheduleOf({ ...SD, timestep_spacing: 'trailing' });
    expect(ddpmSteps(trailing, 3)).toEqual([
      { timestep: 999, previous: 666 },
      { timestep: 666, previous: 332 },
      { timestep: 332, previous: -1 },
    ]);
    expect(ddimSteps(trailing, 3).map(({ previous }) => previous)).toEqual([666, 333, -1]);
    expect(ddpmSteps(sd, [999, 1])).toEqual([
      { timestep: 999, previous: 1 },
      { timestep: 1, previous: -1 },
    ]);
  });
});

const stepCases = 'epsilon sample v clipped clipped-plain not-to-one linspace logarithmic zero-snr'.split(' ');

describeOnBackends("against diffusers' DDPMScheduler and DDIMScheduler", () => {
  it.each(stepCases)('%s: steps, noising, velocity', async (name) => {
    const golden = loadGolden(`unet/schedule-steps-${name}`);
    const { schedule: json, count, eta, clipped, at } = golden.config;
    const schedule = scheduleOf(json);
    const read = (key: string): Tensor4D => golden.tensor(key) as Tensor4D;
    const ddim = ddimSteps(schedule, count);
    for (const [i, step] of ddpmSteps(schedule, count).entries()) {
      const [sample, prediction] = [read(`${i}/sample`), read(`${i}/prediction`)];
      const noise = { noise: read(`${i}/noise`) };
      const a = ddpmStep(schedule, { sample, prediction }, step, noise);
      const b = ddimStep(schedule, { sample, prediction }, ddim[i], { eta, noise, useClippedPrediction: clipped });
      await expectClose(a.previous, read(`${i}/ddpm`), { label: `DDPM step ${i}` });
      await expectClose(b.previous, read(`${i}/ddim`), { label: `DDIM step ${i}` });
      for (const { clean } of [a, b]) await expectClose(clean, read(`${i}/clean`), { label: `clean sample ${i}` });
    }
    const [clean, noise] = [read('clean'), read('noise')];
    await expectClose(addNoise(schedule, { clean, noise }, at), read('noised'));
    await expectClose(velocity(schedule, { clean, noise }, at), read('velocity'));
  });

  it('turns each kind of prediction into each other', async () => {
    const [clean, noise] = [tensor4d([0.5, -2], [2, 1, 1, 1]), tensor4d([1.5, 0.25], [2, 1, 1, 1])];
    const at = [20, 600];
    const noised = addNoise(sd, { clean, noise }, at);
    const kinds = { sample: clean, epsilon: noise, v_prediction: velocity(sd, { clean, noise }, at) };
    for (const [from, prediction] of Object.entries(kinds) as ['sample', Tensor4D][]) {
      for (const [to, expected] of Object.entries(kinds) as ['sample', Tensor4D][]) {
        const found = convertPrediction(sd, { sample: noised, prediction }, at, { from, to });
        await expectClose(found, expected, { label: `${from} to ${to}` });
      }
    }
  });

  it('steps at once to the clean sample: the figures of one-step restoration', async () => {
    const [z, e] = [image(1), image(1)];
    // sqrt(alphaBar[1]) = 0.999148, so 1.00085 z - 0.04131 e; and 14.649 z - 14.615 e at the noisiest step.
    await expectClose(oneStepUpdate(sd, { sample: z, prediction: image(0) }, 1), [1.00085], { relative: 1e-5 });
    await expectClose(oneStepUpdate(sd, { sample: image(0), prediction: e }, 1), [-0.04131], { relative: 1e-3 });
    await expectClose(oneStepUpdate(sd, { sample: z, prediction: image(0) }, 999), [14.649], { relative: 1e-4 });
    await expectClose(oneStepUpdate(sd, { sample: image(0), prediction: e }, 999), [-14.615], { relative: 1e-4 });
    await expectClose(oneStepUpdate(sd, { sample: z, prediction: image(0.75) }, 1, { form: 'residual' }), [0.25]);
  });

  it('steps alike from every kind of prediction', async () => {
    const [clean, noise] = [image(-0.7), image(0.4)];
    const noised = addNoise(sd, { clean, noise }, 1);
    const v = velocity(sd, { clean, noise }, 1);
    for (const form of ['ddpm', 'residual'] as const) {
      const expected = oneStepUpdate(sd, { sample: noised, prediction: noise }, 1, { form });
      await expectClose(
        oneStepUpdate(sd, { sample: noised, prediction: clean }, 1, { form, prediction: 'sample' }),
        expected,
      );
      await expectClose(
        oneStepUpdate(sd, { sample: noised, prediction: v }, 1, { form, prediction: 'v_prediction' }),
        expected,
      );
    }
    await expectClose(oneStepUpdate(sd, { sample: noised, prediction: noise }, 1), clean);
  });

  it('lets gradients through', async () => {
    const loss = (e: Tensor, z: Tensor): Tensor =>
      sum(mul(oneStepUpdate(sd, { sample: z as Tensor4D, prediction: e as Tensor4D }, 999), 2));
    const [ofE, ofZ] = grads(loss)([image(0.3), image(0.2)]);
    const root = Math.sqrt(sd.alphaBar[999]);
    await expectClose(ofE, [(-2 * Math.sqrt(1 - sd.alphaBar[999])) / root]);
    await expectClose(ofZ, [2 / root]);
  });

  it('draws the same noise from the same seed, and leaves nothing behind', async () => {
    const [sample, prediction] = [image(1), image(0.5)];
    const [step] = ddpmSteps(sd, 4);
    await expectNoLeaks(async () => {
      const [once, again, other] = [0, 0, 1].map((seed) => ddpmStep(sd, { sample, prediction }, step, { seed }));
      await expectClose(again.previous, once.previous, { relative: 0 });
      expect((await other.previous.data())[0]).not.toBe((await once.previous.data())[0]);
      dispose([once, again, other]);
      const [first] = ddimSteps(sd, 4);
      dispose(ddimStep(sd, { sample, prediction }, first, { eta: 1, noise: { seed: 3 } }));
      dispose(addNoise(sd, { clean: sample, noise: prediction }, [5]));
      dispose(oneStepUpdate(sd, { sample, prediction }, 1, { form: 'residual' }));
    });
  });

  it('says what is wrong', () => {
    const [x, wide] = [image(1), tensor4d([1, 2], [1, 1, 2, 1])];
    const zero = scheduleOf({ ...SD, rescale_betas_zero_snr: true });
    const [step] = ddpmSteps(sd, 4);
    const texts: [() => unknown, string][] = [
      [
        () => addNoise(sd, { clean: x, noise: wide }, 3),
        'schedule: two tensors of one shape are mixed; got [1,1,1,1] and [1,1,2,1]',
      ],
      [
        () => addNoise(sd, { clean: x, noise: x }, [1, 2]),
        'schedule: one timestep for all samples or one for each; got 2 for 1 samples',
      ],
      [
        () => addNoise(sd, { clean: x, noise: x }, 1000),
        'schedule: a timestep is a whole number from 0 to 999; got 1000',
      ],
      [
        () => addNoise(sd, { clean: x, noise: x }, 0.5),
        'schedule: a timestep is a whole number from 0 to 999; got 0.5',
      ],
      [
        () => oneStepUpdate(zero, { sample: x, prediction: x }, 999),
        'schedule: epsilon becomes sample where a sample holds both signal and noise; got timestep 999, whose share of signal is 0; predict v_prediction there',
      ],
      [
        () => oneStepUpdate(sd, { sample: x, prediction: x }, 1, { form: 'residuel' as 'residual' }),
        'oneStepUpdate: form is ddpm or residual; got "residuel"; give one of them',
      ],
      [
        () => convertPrediction(sd, { sample: x, prediction: x }, 1, { from: 'eps' as 'epsilon', to: 'sample' }),
        'schedule: the prediction to convert from is epsilon, sample or v_prediction; got "eps"; give what the model predicts',
      ],
      [
        () => convertPrediction(sd, { sample: x, prediction: x }, 1, { to: 'v' as 'sample' }),
        'schedule: the prediction to convert to is epsilon, sample or v_prediction; got "v"; give what the model predicts',
      ],
      [
        () => oneStepUpdate(sd, { sample: x, prediction: x }, 1, { prediction: 'eps' as 'epsilon' }),
        'schedule: the prediction to convert from is epsilon, sample or v_prediction; got "eps"',
      ],
      [
        () => ddpmStep(sd, { sample: x, prediction: x }, step, { seed: Number.NaN }),
        'normalNoise: a seed is a whole number; got NaN; give one, such as 0',
      ],
      [() => timesteps(sd, 1001), 'schedule: sampling takes from 1 to 1000 steps, as many as training had; got 1001'],
      [
        () => timesteps(scheduleOf({ steps_offset: 1 }), 1000),
        'schedule: a timestep is a whole number from 0 to 999; got 1000',
      ],
      [() => ddpmSteps(sd, [1, 999]), 'schedule: timesteps descend; got 1, 999; sort them'],
      [
        () => ddpmStep(sd, { sample: x, prediction: x }, step),
        'ddpmStep: this step adds noise, which takes a seed; got none; give { seed } or { noise }',
      ],
      [
        () => ddpmStep(sd, { sample: x, prediction: x }, step, { noise: wide }),
        "ddpmStep: the noise has the sample's shape; got [1,1,2,1] for [1,1,1,1]",
      ],
      [() => ddimStep(sd, { sample: x, prediction: x }, step, { eta: 1 }), 'ddimStep: this step adds noise'],
      [
        () => ddimStep(sd, { sample: x, prediction: x }, step, { eta: 2 }),
        'ddimStep: eta is from 0 to 1; got 2; 0 adds no noise',
      ],
      [() => scheduleOf({ beta_end: 1.5 }), 'schedule: every beta is a variance from 0 to 1; got 1.00003333333'],
    ];
    for (const [run, text] of texts) expect(run).toThrow(text);
  });
});
