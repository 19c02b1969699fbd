import { mergeAndUnload } from '@rass/lora';
import { parseMask2FormerConfig, semanticTargets } from '@rass/mask2former';
import { lpipsParams } from '@rass/metrics/lpips';
import { disposeParams, trainable, trainableTensors } from '@rass/nn';
import { describeOnBackends, expectNoLeaks, loadGolden } from '@rass/testkit';
import {
  adamW,
  constantSchedule,
  gradientNorm,
  type Optimizer,
  parameterGroups,
  polynomialSchedule,
  type Schedule,
} from '@rass/training';
import { noiseSchedule, parseScheduleConfig, parseUnetConfig, unetParams } from '@rass/unet';
import { parseVaeConfig, vaeParams } from '@rass/vae';
import { dispose, type Tensor, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { it } from 'vitest';
import { addScrLora, addSegLora, isTrainedInStage } from '../adapters.ts';
import { RASS_TAPS } from '../features/taps.ts';
import { restoreLatents } from '../restoration/restore.ts';
import type { ScrBatch, ScrModel } from '../restoration/scr-loss.ts';
import { rassHeadParams } from '../stage-two.ts';
import { type SegModel, type StepResult, scrStep, segStep, segVariables, studentStep } from './steps.ts';
import {
  drawn,
  drawnLabels,
  drawnMap,
  drawnTimesteps,
  expectTrajectory,
  startingParams,
} from './trajectory.test-support.ts';

// Of the inputs that stand for normal ones, so that their variance is about 1.
const WIDE = 1.7;
const BATCH = 2;
const IMAGES = [0, 1];
const TRAINING_STEPS = 1000;
const TAG_LABELS_SIDE = 32;

// biome-ignore lint/suspicious/noExplicitAny: a fixture's configuration
type Config = any;

const schedule = noiseSchedule(
  parseScheduleConfig({ beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' }),
);
const baseUnet = (c: Config) => unetParams(startingParams('unet'), parseUnetConfig(c.unet));
const adapted = (c: Config, model: string) => ({ rank: c.rank, alpha: c.alpha, from: startingParams(model, c.rank) });
const textOf = (c: Config, name: string, scale = WIDE) =>
  drawn<Tensor3D>(name, [BATCH, c.tokens, c.unet.cross_attention_dim], scale);

function tagLabels(name: string): { size: [number, number]; labels: Uint8Array } {
  const { data, height, width } = drawnLabels(name, TAG_LABELS_SIDE);
  return { size: [height, width], labels: data };
}

/** Clips the gradients, makes the step and frees them. @returns their norm before */
async function update(
  optimizer: Optimizer,
  gradients: StepResult<string>['gradients'],
  { clip, rate, step }: { clip: number; rate: Schedule; step: number },
): Promise<number> {
  const { norm, scale } = await gradientNorm(gradients, { clip });
  optimizer.step(gradients, { learningRate: rate(step), gradientScale: scale });
  dispose(gradients as Record<string, Tensor>);
  return norm;
}

async function stageOne(c: Config, kind: 'csd' | 'vsd') {
  const frozen = baseUnet(c);
  const judge = { unet: frozen, schedule };
  const laid = await Promise.all(['start', 'student'].map((name) => addScrLora(frozen, adapted(c, name))));
  const unet = trainable(laid[0], isTrainedInStage);
  // Its first convolution stays as it is.
  const student = trainable(laid[1], (key) => key.includes('.lora_'));
  const model: ScrModel = {
    unet,
    schedule,
    vae: vaeParams(startingParams('vae'), parseVaeConfig(c.vae)),
    lpips: lpipsParams(startingParams('lpips'), c.lpips),
    distillation: kind === 'csd' ? { kind, judge } : { kind, judge, student },
  };
  const groups = (of: unknown) => parameterGroups(trainableTensors(of), [], { weightDecay: 0.01 });
  const [own, learner] = [adamW(groups(unet)), adamW(groups(student))];
  const rate = constantSchedule(c.rate);
  const latentUpdate = kind === 'csd' ? 'residual' : 'ddpm';

  function batchOf(step: number): ScrBatch {
    const name = step % 2;
    const latents = [BATCH, 4, c.side / 8, c.side / 8];
    return {
      latents: drawnMap(`latents ${name}`, latents, WIDE),
      target: drawnMap(`target ${name}`, [BATCH, 3, c.side, c.side]),
      text: textOf(c, `text ${name}`),
      alignment: {
        tags: c.tags.map((each: number[][]) => each.map((positions, i) => ({ tag: `${i}`, positions }))),
        classes: c.classes,
        labels: IMAGES.map((image) => tagLabels(`labels ${name} ${image}`)),
      },
      distillation: {
        noise: drawnMap(`noise ${step}`, latents, WIDE),
        timestep: drawnTimesteps(`timestep ${step}`, BATCH, [20, 500]),
        negativeText: textOf(c, 'negative', 1),
      },
    };
  }

  async function learn({ latents, text }: ScrBatch, restored: Tensor4D, step: number): Promise<number> {
    const noise = drawnMap<Tensor4D>(`student noise ${step}`, [BATCH, 4, latents.shape[1], latents.shape[2]], WIDE);
    const timestep = drawnTimesteps(`student timestep ${step}`, BATCH, [0, TRAINING_STEPS]);
    const { terms, gradients } = await studentStep({ student, schedule }, { latents: restored, noise, timestep, text });
    await update(learner, gradients, { clip: 1, rate, step });
    noise.dispose();
    return terms.loss;
  }

  return {
    async step(step: number): Promise<Record<string, number>> {
      const batch = batchOf(step);
      const restored = tidy(() => restoreLatents(model, batch.latents, batch.text, { latentUpdate }).latents);
      const { terms, gradients } = await scrStep(model, batch, { step, warmUpSteps: c.warmUp, latentUpdate });
      const norm = await update(own, gradients, { clip: 1, rate, step });
      const learnt: Record<string, number> = kind === 'vsd' ? { student: await learn(batch, restored, step) } : {};
      const { noise, negativeText } = batch.distillation as NonNullable<ScrBatch['distillation']>;
      dispose([batch.latents, batch.target, batch.text, noise, negativeText, restored]);
      return { ...terms, norm, ...learnt };
    },
    dispose() {
      own.dispose();
      learner.dispose();
      disposeParams([...laid, unet, student, model.vae, model.lpips]);
    },
  };
}

async function stageTwo(c: Config) {
  const restoring = await addScrLora(baseUnet(c), adapted(c, 'scr'));
  const merged = await mergeAndUnload(restoring);
  const laid = await addSegLora(merged, adapted(c, 'start'));
  const taps = RASS_TAPS.map((tap, i) => ({ ...tap, channels: c.dims[i] }));
  const start = rassHeadParams(startingParams('seg'), parseMask2FormerConfig(c.head), { ...c.fusion, taps });
  const model: SegModel = {
    vae: vaeParams(startingParams('vae'), parseVaeConfig(c.vae)),
    unet: trainable(laid, isTrainedInStage),
    ...trainable(start, () => true),
  };
  const backbone = { name: 'backbone', match: /\.lora_|^conv_in\.|^backbone\./, learningRateFactor: c.factor };
  const optimizer = adamW(parameterGroups(segVariables(model), [backbone], { weightDecay: c.decay }));
  const rate = polynomialSchedule({ rate: c.rate, steps: c.steps });
  return {
    async step(step: number): Promise<Record<string, number>> {
      const name = step % 2;
      const targets = IMAGES.map((image) =>
        semanticTargets(drawnLabels(`labels ${name} ${image}`, c.side), { classes: c.head.num_labels }),
      );
      const image = drawnMap<Tensor4D>(`image ${name}`, [BATCH, 3, c.side, c.side]);
      const batch = { image, text: textOf(c, `text ${name}`), targets };
      const criterion = { points: c.seed + step, trainNumPoints: c.points };
      const { terms, gradients } = await segStep(model, batch, { criterion });
      const norm = await update(optimizer, gradients, { clip: c.clip, rate, step });
      dispose([batch.image, batch.text, ...targets.map(({ masks }) => masks)]);
      return { ...terms, norm };
    },
    dispose() {
      optimizer.dispose();
      disposeParams([restoring, laid, start, model.unet, model.fusion, model.head, model.vae]);
    },
  };
}

// Not on WebGPU, which is software in tests: half a minute for each of the steps. Those that it took were as close as the others.
const BACKENDS = ['native', 'wasm', 'cpu'] as const;

describeOnBackends(
  "ten steps of training take PyTorch's way",
  () => {
    it.each(['csd', 'vsd'] as const)('stage 1 with %s', async (kind) => {
      const golden = loadGolden(`rass/training-${kind}`);
      const stage = await stageOne(golden.config, kind);
      await expectNoLeaks(() => expectTrajectory(golden, stage.step));
      stage.dispose();
    });

    it('stage 2', async () => {
      const golden = loadGolden('rass/training-seg');
      const stage = await stageTwo(golden.config);
      await expectNoLeaks(() => expectTrajectory(golden, stage.step));
      stage.dispose();
    });
  },
  BACKENDS,
);
