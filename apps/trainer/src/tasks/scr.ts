import { alignmentConfig } from '@rass/attention-alignment';
import { IGNORE_LABEL, type RgbImage } from '@rass/images';
import type { Lpips } from '@rass/metrics/lpips';
import { disposeParams, trainableTensors } from '@rass/nn';
import { imageBatch, imagesOf, latentsOf, stageLora, type TextModel } from '@rass/pipeline';
import { openModel } from '@rass/pipeline/node';
import {
  addScrLora,
  alignedAttentions,
  type JudgedLatents,
  type Restorer,
  restoreLatents,
  type ScrBatch,
  type ScrModel,
  scrStep,
} from '@rass/rass';
import type { Unet } from '@rass/unet';
import { unscaleLatents, vaeDecode } from '@rass/vae';
import { dispose, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { makeFolderBeside } from '../files.ts';
import { linkBase, writeStages } from '../model/folder.ts';
import { openLpips } from '../model/lpips.ts';
import { saveStage, trainableStage } from '../model/stages.ts';
import type { ScrRecipe } from '../recipe/recipes.ts';
import type { Sample } from '../samples/sample.ts';
import type {
  BatchPlace,
  BatchResult,
  CaptionedPicture,
  SheetRow,
  TrainingTask,
  Validation,
} from '../training/task.ts';
import { type AttentionView, attentionPictures, attentionScore, attentionView } from './attention-view.ts';
import { noiseAt, timestepsAt } from './draws.ts';
import { groupsOf } from './groups.ts';
import { promptsOf, type SamplePrompt } from './prompts.ts';
import { restorationScores } from './restoration-scores.ts';
import { type Student, startStudent } from './student.ts';

/** The models of stage 1. */
interface ScrModels {
  readonly restorer: Restorer;
  /** The model as it was, which judges. */
  readonly frozen: Unet;
  readonly text: TextModel;
  readonly network: Lpips | undefined;
  readonly student: Student | undefined;
}

/** Noise levels at which latents are judged. @source PiSA-SR and OSEDiff */
const JUDGED = { csd: [20, 500], vsd: [20, 980] } as const;

/** The labels of a sample; without any, all of it is ignored, and adds nothing. */
function labelsFor({ clean: { width, height }, labels }: Sample): { size: [number, number]; labels: Uint8Array } {
  return { size: [height, width], labels: labels?.data ?? new Uint8Array(width * height).fill(IGNORE_LABEL) };
}

interface Shown {
  readonly restored: RgbImage;
  readonly view: AttentionView | undefined;
}

/** Stage 1: the SCR LoRA on a frozen diffusion model. */
class ScrTask implements TrainingTask {
  readonly groups;
  readonly state;
  readonly #models: ScrModels;
  readonly #recipe: ScrRecipe;
  readonly #classNames: readonly string[];

  constructor(models: ScrModels, recipe: ScrRecipe, classNames: readonly string[]) {
    this.#models = models;
    this.#recipe = recipe;
    this.#classNames = classNames;
    this.groups = groupsOf(models.restorer.unet, recipe.optimizer);
    this.state = models.student?.state ?? {};
  }

  get #scrModel(): ScrModel {
    const { restorer, network, frozen, student } = this.#models;
    const { kind, lpips } = this.#recipe.loss;
    const judge = { unet: frozen, schedule: restorer.schedule };
    const distillation = {
      none: undefined,
      csd: { kind: 'csd', judge } as const,
      vsd: student && ({ kind: 'vsd', judge, student: student.unet } as const),
    }[kind];
    return {
      ...restorer,
      ...(network !== undefined && lpips > 0 && { lpips: network }),
      ...(distillation && { distillation }),
    };
  }

  #prompts(samples: readonly Sample[], place?: BatchPlace): SamplePrompt[] {
    return promptsOf(samples, this.#classNames, this.#models.text.tokenizer, this.#recipe, place);
  }

  #latentsOf(images: readonly RgbImage[]): Tensor4D {
    return latentsOf(this.#models.restorer.vae, images);
  }

  /** What the judge draws. */
  #judged(
    latents: Tensor4D,
    place: BatchPlace,
  ): Pick<JudgedLatents, 'noise' | 'timestep' | 'negativeText'> | undefined {
    const { seed, loss } = this.#recipe;
    if (loss.kind === 'none' || loss.distillation === 0) return undefined;
    const [count] = latents.shape;
    return {
      noise: noiseAt(seed, 'judge', place, latents.shape),
      timestep: timestepsAt(seed, place, count, loss.timesteps ?? JUDGED[loss.kind]),
      negativeText: this.#models.text.embed(Array<string>(count).fill(loss.negativePrompt)),
    };
  }

  #batch(samples: readonly Sample[], place: BatchPlace): ScrBatch {
    const prompts = this.#prompts(samples, place);
    const latents = this.#latentsOf(samples.map(({ degraded }) => degraded));
    const distillation = this.#judged(latents, place);
    const labelled = samples.some(({ labels }) => labels !== undefined) && this.#recipe.loss.alignment > 0;
    return {
      latents,
      target: imageBatch(samples.map(({ clean }) => clean)),
      text: this.#models.text.embed(prompts.map(({ text }) => text)),
      ...(distillation && { distillation }),
      ...(labelled && {
        alignment: {
          tags: prompts.map(({ tags }) => tags),
          classes: prompts.map(({ classes }) => classes),
          labels: samples.map(labelsFor),
        },
      }),
    };
  }

  async run(samples: readonly Sample[], place: BatchPlace): Promise<BatchResult> {
    const { loss, latentUpdate, timestep, checkpointing, alignment } = this.#recipe;
    const batch = this.#batch(samples, place);
    const step = { latentUpdate, timestep, checkpointing };
    try {
      const result = await scrStep(this.#scrModel, batch, {
        ...step,
        step: place.step,
        warmUpSteps: loss.warmUp,
        guidance: loss.guidance,
        alignment,
        weights: {
          l2: loss.l2,
          ...(this.#models.network !== undefined && { lpips: loss.lpips }),
          ...(batch.distillation && { distillation: loss.distillation }),
          ...(batch.alignment && { alignment: loss.alignment }),
        },
      });
      if (this.#models.student === undefined) return result;
      const student = await this.#models.student.learn(this.#models.restorer, batch, step, place);
      return { ...result, terms: { ...result.terms, student } };
    } finally {
      dispose([batch.latents, batch.target, batch.text]);
      if (batch.distillation) dispose([batch.distillation.noise, batch.distillation.negativeText]);
    }
  }

  /** One sample restored, and where the UNet looked. */
  async #show(sample: Sample): Promise<Shown> {
    const { restorer, text } = this.#models;
    const { latentUpdate, timestep, alignment } = this.#recipe;
    const [prompt] = this.#prompts([sample]) as [SamplePrompt];
    const latents = this.#latentsOf([sample.degraded]);
    const attention = prompt.tags.length > 0 ? alignedAttentions(restorer.unet, alignmentConfig(alignment)) : [];
    const made = tidy(() => {
      const step = restoreLatents(restorer, latents, text.embed([prompt.text]) as Tensor3D, {
        latentUpdate,
        timestep,
        attention,
      });
      return {
        image: vaeDecode(restorer.vae, unscaleLatents(restorer.vae.config, step.latents)).image,
        maps: { ...step.attention },
      };
    });
    const view = await attentionView(made.maps, [latents.shape[1], latents.shape[2]], prompt);
    const [restored] = await imagesOf(made.image);
    dispose([latents, made.image, ...Object.values(made.maps)]);
    return { restored: restored!, view };
  }

  #sheetRow(sample: Sample, { restored, view }: Shown): SheetRow {
    const pictures: CaptionedPicture[] = [
      { caption: 'degraded', picture: sample.degraded },
      { caption: 'restored', picture: restored },
      { caption: 'clean', picture: sample.clean },
      ...(view === undefined ? [] : attentionPictures(view, sample.clean)),
    ];
    return { title: sample.id, pictures };
  }

  async validate(samples: readonly Sample[], { pictures }: { readonly pictures: number }): Promise<Validation> {
    const restored: RgbImage[] = [];
    const sheet: SheetRow[] = [];
    const overlaps: number[] = [];
    for (const [i, sample] of samples.entries()) {
      const shown = await this.#show(sample);
      restored.push(shown.restored);
      if (shown.view !== undefined) overlaps.push(attentionScore(shown.view, sample));
      if (i < pictures) sheet.push(this.#sheetRow(sample, shown));
    }
    const scores = await restorationScores(
      restored,
      samples.map(({ clean }) => clean),
      this.#models.network,
    );
    const scored = overlaps.filter((each) => !Number.isNaN(each));
    const attention = scored.reduce((a, b) => a + b, 0) / scored.length;
    return { metrics: { ...scores, ...(scored.length > 0 && { attentionIou: attention }) }, sheet };
  }

  save(folder: string): Promise<void> {
    const { model, lora, latentUpdate, timestep } = this.#recipe;
    return makeFolderBeside(folder, async (temporary) => {
      await linkBase(model, temporary);
      await saveStage(`${temporary}/scr.safetensors`, this.#models.restorer.unet);
      await writeStages(temporary, {
        format: 1,
        restoration: { file: 'scr.safetensors', ...lora, latentUpdate, timestep },
      });
    });
  }

  dispose(): void {
    const { restorer, frozen, text, network, student } = this.#models;
    // The frozen model's tensors are in the trained tree, too: dispose of each once.
    const trained = Object.values(trainableTensors(restorer.unet));
    dispose(trained);
    disposeParams([restorer.vae, frozen]);
    text.dispose();
    student?.dispose();
    if (network !== undefined) disposeParams(network);
  }
}

/** The task of `rass train scr`. `classNames`: what the labels of the samples are. */
export async function scrTask(recipe: ScrRecipe, classNames: readonly string[]): Promise<TrainingTask> {
  const { seed, lora, loss } = recipe;
  const folder = await openModel(recipe.model);
  const { restoration, segmentation } = folder.stages;
  if ([restoration, segmentation].some((stage) => stage !== undefined && stageLora(stage) === undefined)) {
    throw new Error(
      `train scr: a UNet is trained from before any stage; got ${recipe.model}, an export with one merged; give the model that it was exported from`,
    );
  }
  const [vae, frozen, text] = [await folder.loadVae(), await folder.loadUnet(), await folder.loadText()];
  const schedule = folder.schedule();
  await folder.close();
  const unet = trainableStage(await addScrLora(frozen, { ...lora, seed }), { shared: true });
  const network = loss.net === 'none' ? undefined : await openLpips(loss.net);
  const student = loss.kind === 'vsd' ? await startStudent(frozen, recipe, schedule) : undefined;
  return new ScrTask({ restorer: { vae, unet, schedule }, frozen, text, network, student }, recipe, classNames);
}
