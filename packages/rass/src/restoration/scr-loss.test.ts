import { lpips, lpipsParams } from '@rass/metrics/lpips';
import { disposeParams, namedTensors, randomParams, trainable, trainableTensors } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { unscaleLatents, vaeDecode } from '@rass/vae';
import { add, dispose, mean, square, sub, type Tensor, tidy, type Variable } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { addScrLora, isTrainedInStage } from '../adapters.ts';
import {
  randomImage,
  randomLatents,
  randomText,
  smallSchedule,
  smallUnet,
  smallVae,
} from '../small-models.test-support.ts';
import { scrStep } from '../training/steps.ts';
import { restoreLatents } from './restore.ts';
import { type ScrBatch, type ScrModel, scrLoss } from './scr-loss.ts';

const LABELS = Uint8Array.from({ length: 16 * 16 }, (_, i) => (i % 16 < 7 ? 0 : i < 128 ? 2 : 255));

async function setUp() {
  const frozen = smallUnet();
  const added = await addScrLora(frozen, { rank: 2, alpha: 4, seed: 5 });
  const unet = trainable(added, isTrainedInStage);
  const schedule = smallSchedule();
  const judge = { unet: frozen, schedule };
  const model = { unet, vae: smallVae(), schedule, distillation: { kind: 'csd', judge } } as const satisfies ScrModel;
  const batch: ScrBatch = {
    latents: randomLatents(1, 2),
    target: randomImage(2, 2),
    text: randomText(3, 2),
    distillation: { noise: randomLatents(4, 2), timestep: [100, 300], negativeText: randomText(5, 2) },
    alignment: {
      tags: [
        [
          { tag: 'sky', positions: [1] },
          { tag: 'tall tree', positions: [2, 3] },
        ],
        [{ tag: 'sky', positions: [1] }],
      ],
      classes: [[0, 2], [0]],
      labels: [
        { size: [16, 16], labels: LABELS },
        { size: [16, 16], labels: LABELS },
      ],
    },
  };
  const done = () => {
    const own = namedTensors(unet).filter(({ key }) => isTrainedInStage(key));
    for (const { tensor } of own) tensor.dispose();
    for (const { key, tensor } of namedTensors(added)) if (/\.lora_[AB]\./.test(key)) tensor.dispose();
    disposeParams([frozen, model.vae]);
    const { noise, negativeText } = batch.distillation!;
    dispose([batch.latents, batch.target, batch.text, noise, negativeText]);
  };
  return { model, batch, done };
}

// A software adapter compiles WebGPU's shaders for minutes here; models and kernels have tests of their own on it.
const BACKENDS = ['native', 'wasm', 'cpu'] as const;

const numberIn = async (tensor: Tensor): Promise<number> => (await tensor.data())[0]!;

describeOnBackends(
  'scrLoss',
  () => {
    it('is the weighted sum of its terms, the alignment from nothing on', async () => {
      const { model, batch, done } = await setUp();
      await expectNoLeaks(async () => {
        const weights = { l2: 3, distillation: 0.5, alignment: 2 };
        for (const [step, share] of [
          [0, 0.1],
          [4, 0.5],
          [9, 1],
          [50, 1],
        ] as const) {
          const terms = scrLoss(model, batch, { step, weights, warmUpSteps: 10 });
          const entries = Object.entries(terms).map(async ([name, term]) => [name, await numberIn(term)] as const);
          const { loss, l2, lpips: none, distillation, alignment } = Object.fromEntries(await Promise.all(entries));
          expect(none).toBe(0);
          expect(Math.min(l2!, distillation!, alignment!)).toBeGreaterThan(0);
          expect(loss! / (3 * l2! + 0.5 * distillation! + 2 * share * alignment!)).toBeCloseTo(1, 5);
          dispose(terms);
        }
      });
      done();
    });

    it('compares the decoded latents with the good photograph', async () => {
      const { model, batch, done } = await setUp();
      const network = lpipsParams(randomParams(9), 'alex');
      const large = { ...batch, latents: randomLatents(1, 2, 20), target: randomImage(2, 2, 20) };
      await expectNoLeaks(async () => {
        const weights = { distillation: 0, alignment: 0 };
        const terms = scrLoss({ ...model, lpips: network }, large, { step: 0, weights });
        const byHand = tidy(() => {
          const { latents } = restoreLatents(model, large.latents, large.text);
          const { image } = vaeDecode(model.vae, unscaleLatents(model.vae.config, latents));
          return { l2: mean(square(sub(image, large.target))), lpips: mean(lpips(network, image, large.target)) };
        });
        await expectClose(terms.l2, byHand.l2, { relative: 1e-4 });
        await expectClose(terms.lpips, byHand.lpips, { relative: 1e-4 });
        dispose([...Object.values(terms), byHand.l2, byHand.lpips]);
      });
      disposeParams(network);
      done();
    });

    it('says what is missing', async () => {
      const { model, batch, done } = await setUp();
      const { alignment: _, ...unlabelled } = batch;
      expect(() => scrLoss(model, unlabelled, { step: 0, weights: { alignment: 1 } })).toThrow(
        'scrLoss: a term of weight 1 can be computed; got alignment; the batch has no labels; give them, or alignment: 0',
      );
      expect(() => scrLoss(model, batch, { step: 0, weights: { lpips: 1 } })).toThrow('the model has no LPIPS');
      expect(() => scrLoss(model, batch, { step: 0, weights: { l2: -1 } })).toThrow('got -1 for l2');
      const nothing = { l2: 0, distillation: 0, alignment: 0 };
      expect(() => scrLoss(model, batch, { step: 0, weights: nothing })).toThrow(
        'some weight is above 0; got only zeros',
      );
      expect(() => scrLoss({ ...model, distillation: undefined } as never, batch, { step: 0, weights: { distillation: 1 } })).toThrow('the model has no judge'); // biome-ignore format: one line
      done();
    });
  },
  BACKENDS,
);

describeOnBackends(
  'scrStep',
  () => {
    it('reaches every tensor that is trained, and nothing else', async () => {
      const { model, batch, done } = await setUp();
      await expectNoLeaks(async () => {
        const { gradients, terms } = await scrStep(model, batch, { step: 1000 });
        expect(Object.keys(gradients).sort()).toEqual(Object.keys(trainableTensors(model.unet)).sort());
        expect(Object.keys(gradients).every(isTrainedInStage)).toBe(true);
        expect(terms.loss).toBeGreaterThan(0);
        for (const [key, gradient] of Object.entries(gradients)) {
          const most = Math.max(...(await gradient.data()).map(Math.abs));
          // The second factors start at 0, so that the first have no gradient yet.
          if (key.includes('lora_A')) expect(most, key).toBe(0);
          else expect(most, key).toBeGreaterThan(0);
        }
        dispose(gradients as Record<string, Tensor>);
      });
      done();
    });

    it('finds the slope of the loss, with blocks computed again or kept', async () => {
      const { model, batch, done } = await setUp();
      const bias = trainableTensors(model.unet)['conv_in.bias'] as Variable;
      const weights = { distillation: 0 };
      const lossAt = async (shift: number): Promise<number> => {
        const before = bias.clone();
        bias.assign(tidy(() => add(before, shift)));
        const terms = scrLoss(model, batch, { step: 1000, weights });
        const loss = await numberIn(terms.loss);
        dispose(terms);
        bias.assign(before);
        before.dispose();
        return loss;
      };
      const slope = ((await lossAt(0.01)) - (await lossAt(-0.01))) / 0.02;
      const kept = await scrStep(model, batch, { step: 1000, weights });
      const again = await scrStep(model, batch, { step: 1000, weights, checkpointing: true });
      const found = Array.from(await kept.gradients['conv_in.bias']!.data()).reduce((a, b) => a + b, 0);
      expect(found / slope).toBeCloseTo(1, 2);
      for (const [key, gradient] of Object.entries(kept.gradients)) {
        await expectClose(again.gradients[key]!, gradient, { relative: 1e-3, label: key });
      }
      dispose([...Object.values(kept.gradients), ...Object.values(again.gradients)]);
      done();
    });

    it('says that nothing is trained', async () => {
      const { model, batch, done } = await setUp();
      const unet = smallUnet();
      await expect(scrStep({ ...model, unet }, batch, { step: 0 })).rejects.toThrow(
        'scrStep: some tensor is trained; got none; make variables of them by trainable() of @rass/nn',
      );
      disposeParams(unet);
      done();
    });
  },
  BACKENDS,
);
