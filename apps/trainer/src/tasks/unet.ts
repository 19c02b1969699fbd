import { disposeParams, randomParams, trainable, trainableTensors } from '@rass/nn';
import { imagesOf, latentsOf, type TextModel, textModel } from '@rass/pipeline';
import { openModel } from '@rass/pipeline/node';
import { lossStep } from '@rass/rass';
import { clipText, clipTextParams, parseClipTextConfig } from '@rass/text-encoder';
import { createTokenizer, vocabularyFiles } from '@rass/text-encoder/presets';
import {
  addNoise,
  convertPrediction,
  type NoiseSchedule,
  noiseSchedule,
  parseScheduleConfig,
  parseUnetConfig,
  type Unet,
  unet,
  unetParams,
  velocity,
} from '@rass/unet';
import { unscaleLatents, type Vae, vaeDecode } from '@rass/vae';
import { mean, type Scalar, square, sub, type Tensor, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { makeFolderBeside } from '../files.ts';
import { linkBase, writeComponent, writeTexts } from '../model/folder.ts';
import type { UnetRecipe } from '../recipe/recipes.ts';
import type { Sample } from '../samples/sample.ts';
import type { BatchPlace, BatchResult, SheetRow, TrainingTask, Validation } from '../training/task.ts';
import { chunksOf } from './chunks.ts';
import { noiseAt, timestepsAt } from './draws.ts';
import { groupsOf } from './groups.ts';
import { promptsOf, type SamplePrompt } from './prompts.ts';

/** A diffusion model and what it conditions on. */
interface DiffusionModel {
  readonly vae: Vae;
  readonly unet: Unet;
  readonly text: TextModel;
  readonly schedule: NoiseSchedule;
}

/** What one batch sees. */
interface DiffusionBatch {
  readonly latents: Tensor4D;
  readonly noise: Tensor4D;
  readonly timestep: readonly number[];
  readonly prompts: readonly string[];
}

/** Noise levels at which validation shows what the model makes of noised latents. */
const SHOWN_TIMESTEPS = [100, 400, 700] as const;
/** The tokenizer's configuration, as Stable Diffusion 2's: rows of 77, padded with `!`. */
const TOKENIZER = { tokenizer_class: 'CLIPTokenizer', model_max_length: 77, pad_token: '!' };
/** Where a batch of a validation stands: the same noise each time. */
const VALIDATION: BatchPlace = { step: 0, part: 0 };

/** The mean squared error of what the model predicts, noise or velocity. */
function diffusionLoss(
  model: DiffusionModel,
  batch: DiffusionBatch,
  text_BTD: Tensor3D,
  checkpointing: boolean,
): Scalar {
  const { latents, noise, timestep } = batch;
  const noised = addNoise(model.schedule, { clean: latents, noise }, timestep);
  const { prediction } = model.schedule.config;
  const target = {
    epsilon: () => noise,
    sample: () => latents,
    v_prediction: () => velocity(model.schedule, { clean: latents, noise }, timestep),
  }[prediction]();
  const { sample } = unet(model.unet, { sample_BHWC: noised, timestep, text_BTD, checkpointing });
  return mean(square(sub(sample, target)));
}

/** A text-conditioned diffusion model trained from nothing, on the latents of an autoencoder. */
class UnetTask implements TrainingTask {
  readonly groups;
  readonly #model: DiffusionModel;
  readonly #recipe: UnetRecipe;
  readonly #classNames: readonly string[];

  constructor(model: DiffusionModel, recipe: UnetRecipe, classNames: readonly string[]) {
    this.#model = model;
    this.#recipe = recipe;
    this.#classNames = classNames;
    this.groups = groupsOf({ denoiser: model.unet, text: model.text.params }, recipe.optimizer);
  }

  #variables() {
    const { unet: denoiser, text } = this.#model;
    return trainableTensors({ denoiser, text: text.params });
  }

  #latentsOf(samples: readonly Sample[]): Tensor4D {
    const { vae } = this.#model;
    return latentsOf(
      vae,
      samples.map(({ clean }) => clean),
    );
  }

  #prompts(samples: readonly Sample[], place?: BatchPlace): SamplePrompt[] {
    return promptsOf(samples, this.#classNames, this.#model.text.tokenizer, this.#recipe, place);
  }

  /** Where the text model learns, too, the prompts are part of what gradients are taken of. */
  #embed(prompts: readonly string[]): Tensor3D {
    const { params, tokenizer } = this.#model.text;
    return this.#recipe.trainText
      ? clipText(params, tokenizer.encodeBatch([...prompts])).lastHiddenState
      : this.#model.text.embed(prompts);
  }

  async run(samples: readonly Sample[], place: BatchPlace): Promise<BatchResult> {
    const { seed, checkpointing } = this.#recipe;
    const { trainingSteps } = this.#model.schedule.config;
    const latents = this.#latentsOf(samples);
    const noise = noiseAt(seed, 'noise', place, latents.shape);
    const timestep = timestepsAt(seed, place, samples.length, [0, trainingSteps]);
    const prompts = this.#prompts(samples, place).map(({ text }) => text);
    const variables: Record<string, Tensor> = this.#variables();
    try {
      return await lossStep('pretrain unet', variables, () => {
        const batch = { latents, noise, timestep, prompts };
        return { loss: diffusionLoss(this.#model, batch, this.#embed(prompts), checkpointing) };
      });
    } finally {
      latents.dispose();
      noise.dispose();
    }
  }

  /** What the model makes of the latents behind noise, by its level. */
  async #guesses(sample: Sample): Promise<SheetRow> {
    const { vae, unet: denoiser, schedule } = this.#model;
    const [prompt] = this.#prompts([sample]);
    const pictures = [{ caption: 'image', picture: sample.clean }];
    for (const timestep of SHOWN_TIMESTEPS) {
      const image = tidy(() => {
        const latents = this.#latentsOf([sample]);
        const noised = addNoise(
          schedule,
          { clean: latents, noise: noiseAt(0, 'shown', VALIDATION, latents.shape) },
          timestep,
        );
        const text_BTD = this.#embed([prompt!.text]);
        const predicted = unet(denoiser, { sample_BHWC: noised, timestep, text_BTD }).sample;
        const guess = convertPrediction(schedule, { sample: noised, prediction: predicted }, timestep, {
          to: 'sample',
        });
        return vaeDecode(vae, unscaleLatents(vae.config, guess)).image;
      });
      const [picture] = await imagesOf(image);
      image.dispose();
      pictures.push({ caption: `guessed at noise level ${timestep}`, picture: picture! });
    }
    return { title: `${sample.id}: ${prompt!.text}`, pictures };
  }

  async validate(samples: readonly Sample[], { pictures }: { readonly pictures: number }): Promise<Validation> {
    const { trainingSteps } = this.#model.schedule.config;
    let sum = 0;
    for (const [part, chunk] of chunksOf(samples, this.#recipe.batch).entries()) {
      const prompts = this.#prompts(chunk).map(({ text }) => text);
      const loss = tidy(() => {
        const latents = this.#latentsOf(chunk);
        const noise = noiseAt(0, 'validation', { step: 0, part }, latents.shape);
        const timestep = chunk.map((_, i) => Math.floor(((i + 0.5) * trainingSteps) / chunk.length));
        return diffusionLoss(this.#model, { latents, noise, timestep, prompts }, this.#embed(prompts), false);
      });
      sum += (await loss.data())[0]! * chunk.length;
      loss.dispose();
    }
    const sheet: SheetRow[] = [];
    for (const sample of samples.slice(0, pictures)) sheet.push(await this.#guesses(sample));
    return { metrics: { loss: sum / samples.length }, sheet };
  }

  save(folder: string): Promise<void> {
    const { model, unet: config, scheduler, textEncoder } = this.#recipe;
    return makeFolderBeside(folder, async (temporary) => {
      await linkBase(model, temporary);
      await writeComponent(temporary, 'unet', config, this.#model.unet);
      await writeComponent(temporary, 'text_encoder', textEncoder, this.#model.text.params);
      const scheduling = JSON.stringify({ _class_name: 'DDPMScheduler', ...scheduler }, null, 2);
      await writeTexts(temporary, 'scheduler', { 'scheduler_config.json': `${scheduling}\n` });
      const tokenizer = JSON.stringify(TOKENIZER, null, 2);
      await writeTexts(temporary, 'tokenizer', { ...vocabularyFiles(), 'tokenizer_config.json': `${tokenizer}\n` });
    });
  }

  dispose(): void {
    const { vae, unet: denoiser, text } = this.#model;
    disposeParams([vae, denoiser]);
    text.dispose();
  }
}

/** The task of `rass pretrain unet`. `classNames`: what the labels of the samples are. */
export async function unetTask(recipe: UnetRecipe, classNames: readonly string[]): Promise<TrainingTask> {
  const denoiserStart = unetParams(randomParams(recipe.seed), parseUnetConfig(recipe.unet));
  const textStart = clipTextParams(randomParams(recipe.seed), parseClipTextConfig(recipe.textEncoder));
  const schedule = noiseSchedule(parseScheduleConfig(recipe.scheduler));
  const folder = await openModel(recipe.model);
  const vae = await folder.loadVae();
  await folder.close();
  const denoiser = trainable(denoiserStart, () => true);
  disposeParams(denoiserStart);
  const params = recipe.trainText ? trainable(textStart, () => true) : textStart;
  if (recipe.trainText) disposeParams(textStart);
  const text = textModel(params, createTokenizer({ preset: 'stable-diffusion-2' }));
  return new UnetTask({ vae, unet: denoiser, text, schedule }, recipe, classNames);
}
