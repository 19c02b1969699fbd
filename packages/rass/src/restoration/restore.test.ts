import { disposeParams } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { oneStepUpdate, unet } from '@rass/unet';
import { scaleLatents, unscaleLatents, vaeDecode, vaeEncode } from '@rass/vae';
import { dispose, sub, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { randomImage, randomText, smallSchedule, smallUnet, smallVae } from '../small-models.test-support.ts';
import { type LatentStepOptions, restore } from './restore.ts';

const ATTENTION = 'down_blocks.0.attentions.0.transformer_blocks.0.attn2';

function setUp() {
  const model = { vae: smallVae(), unet: smallUnet(), schedule: smallSchedule() };
  const [image, text] = [randomImage(3, 2), randomText(4, 2)];
  const done = () => {
    disposeParams([model.vae, model.unet]);
    dispose([image, text]);
  };
  return { model, image, text, done };
}

describeOnBackends('restore', () => {
  it.each<[string, LatentStepOptions]>([
    ['residual', {}],
    ['ddpm', { latentUpdate: 'ddpm', timestep: 200 }],
  ])('is one step on the mode of the encoded image: %s', async (form, options) => {
    const { model, image, text, done } = setUp();
    await expectNoLeaks(async () => {
      const found = restore(model, image, text, options);
      const byHand = tidy(() => {
        const latents = scaleLatents(model.vae.config, vaeEncode(model.vae, image).posterior.mean);
        const timestep = options.timestep ?? 1;
        const { sample } = unet(model.unet, { sample_BHWC: latents, timestep, text_BTD: text });
        const clean =
          form === 'residual'
            ? sub(latents, sample)
            : oneStepUpdate(model.schedule, { sample: latents, prediction: sample }, timestep, { form: 'ddpm' });
        return vaeDecode(model.vae, unscaleLatents(model.vae.config, clean as typeof latents)).image;
      });
      expect(found.image.shape).toEqual(image.shape);
      await expectClose(found.image, byHand);
      dispose([found.image, byHand]);
    });
    done();
  });

  it('hands out the attention that is asked for', async () => {
    const { model, image, text, done } = setUp();
    await expectNoLeaks(async () => {
      const { image: restored, attention } = restore(model, image, text, { attention: [ATTENTION] });
      expect(Object.keys(attention)).toEqual([ATTENTION]);
      const [B, , L, T] = attention[ATTENTION]!.shape;
      expect([B, L, T]).toEqual([2, 64, 6]);
      dispose([restored, attention[ATTENTION]!]);
    });
    done();
  });
});
