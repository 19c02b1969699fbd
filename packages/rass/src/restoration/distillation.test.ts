import { gradients } from '@rass/kernels';
import { disposeParams, trainable, trainableTensors } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { addNoise, convertPrediction, unet } from '@rass/unet';
import { abs, add, dispose, div, mean, mul, sub, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { randomLatents, randomText, smallSchedule, smallUnet } from '../small-models.test-support.ts';
import { csdLoss, studentLoss, vsdLoss } from './distillation.ts';

const TIMESTEP = 300;
const GUIDANCE = 7.5;

function setUp() {
  const judge = { unet: smallUnet(1), schedule: smallSchedule() };
  const at = {
    latents: randomLatents(3, 2),
    noise: randomLatents(4, 2),
    timestep: TIMESTEP,
    text: randomText(5, 2),
    negativeText: randomText(6, 2),
  };
  const done = () => {
    disposeParams(judge.unet);
    dispose([at.latents, at.noise, at.text, at.negativeText]);
  };
  return { judge, at, done };
}

type Setting = ReturnType<typeof setUp>;

/** What the model takes for the clean latents. */
function guess({ judge, at }: Setting, denoiser: Setting['judge']['unet'], text: typeof at.text): Tensor4D {
  const noised = addNoise(judge.schedule, { clean: at.latents, noise: at.noise }, TIMESTEP);
  const { sample } = unet(denoiser, { sample_BHWC: noised, timestep: TIMESTEP, text_BTD: text });
  return convertPrediction(judge.schedule, { sample: noised, prediction: sample }, TIMESTEP, { to: 'sample' });
}

const guided = (setting: Setting): { free: Tensor4D; led: Tensor4D } => {
  const led = guess(setting, setting.judge.unet, setting.at.text);
  const free = guess(setting, setting.judge.unet, setting.at.negativeText);
  return { free, led: add(free, mul(sub(led, free), GUIDANCE)) };
};

/** 2/n times the way from what is to what should be, by each sample's distance to that. */
const expected = (latents: Tensor4D, from: Tensor4D, goal: Tensor4D): Tensor4D => {
  const distance = mean(abs(sub(latents, goal)), [1, 2, 3], true);
  return mul(div(sub(from, goal), distance), 2 / latents.size);
};

// A software adapter compiles WebGPU's shaders for more than a minute here; models and kernels have tests of their own on it.
const BACKENDS = ['native', 'wasm', 'cpu'] as const;

describeOnBackends(
  'score distillation',
  () => {
    it('csdLoss pulls latents from the free guess to the guided one', async () => {
      const setting = setUp();
      const { judge, at, done } = setting;
      await expectNoLeaks(async () => {
        const { latents } = gradients(({ latents: z }) => csdLoss(judge, { ...at, latents: z }), {
          latents: at.latents,
        });
        const byHand = tidy(() => {
          const { free, led } = guided(setting);
          return expected(at.latents, free, led);
        });
        await expectClose(latents, byHand, { relative: 1e-3 });
        dispose([latents, byHand]);
      });
      done();
    });

    it("vsdLoss pulls latents from the student's guess to the guided one", async () => {
      const setting = setUp();
      const { judge, at, done } = setting;
      const student = smallUnet(7);
      await expectNoLeaks(async () => {
        const { latents } = gradients(({ latents: z }) => vsdLoss(judge, student, { ...at, latents: z }), {
          latents: at.latents,
        });
        const byHand = tidy(() => expected(at.latents, guess(setting, student, at.text), guided(setting).led));
        await expectClose(latents, byHand, { relative: 1e-3 });
        dispose([latents, byHand]);
      });
      disposeParams(student);
      done();
    });

    it('a student that is the guided model without guidance is content with everything', async () => {
      const { judge, at, done } = setUp();
      const loss = tidy(() => vsdLoss(judge, judge.unet, at, { guidance: 1 }));
      expect((await loss.data())[0]).toBeLessThan(1e-8);
      loss.dispose();
      done();
    });

    it('studentLoss is the error of the predicted noise, differentiable by the student alone', async () => {
      const setting = setUp();
      const { judge, at, done } = setting;
      const base = smallUnet(7);
      const student = trainable(base, (key) => key === 'conv_out.bias');
      await expectNoLeaks(async () => {
        const loss = tidy(() => studentLoss(student, judge.schedule, at));
        const byHand = tidy(() => {
          const noised = addNoise(judge.schedule, { clean: at.latents, noise: at.noise }, TIMESTEP);
          const error = sub(
            unet(student, { sample_BHWC: noised, timestep: TIMESTEP, text_BTD: at.text }).sample,
            at.noise,
          );
          return { loss: mean(mul(error, error)), bias: mul(mean(error, [0, 1, 2]), 2 / 4) };
        });
        await expectClose(loss, byHand.loss);
        const found = gradients(() => studentLoss(student, judge.schedule, at), trainableTensors(student));
        await expectClose(found['conv_out.bias'], byHand.bias, { relative: 1e-3 });
        dispose([loss, byHand.loss, byHand.bias, found['conv_out.bias']]);
      });
      dispose(Object.values(trainableTensors(student)));
      disposeParams(base);
      done();
    });
  },
  BACKENDS,
);
