import { join } from 'node:path';
import type { DatasetClass } from '@rass/datasets';
import { colourLabels, type LabelMap, overlayLabels } from '@rass/images';
import { type MaskTargets, mask2FormerHead, parseMask2FormerConfig, semanticTargets } from '@rass/mask2former';
import { ConfusionMatrix } from '@rass/metrics';
import { disposeParams, randomParams, trainable } from '@rass/nn';
import { imageBatch, type Model, restoringUnet, type SegmentationStage, type TextModel } from '@rass/pipeline';
import { openModel, readStages } from '@rass/pipeline/node';
import { addSegLora, rassFeatures, rassHeadParams, type SegModel, segStep, semanticInference } from '@rass/rass';
import type { Unet } from '@rass/unet';
import { argMax, dispose, type Tensor, type Tensor3D, tidy } from '@tensorflow/tfjs-core';
import { legendOf } from '../dataset/legend.ts';
import { makeFolderBeside } from '../files.ts';
import { linkFolder, writeStages } from '../model/folder.ts';
import { saveStage, trainableStage } from '../model/stages.ts';
import { modelTaps } from '../model/taps.ts';
import type { SegRecipe } from '../recipe/recipes.ts';
import type { Sample } from '../samples/sample.ts';
import type { BatchPlace, BatchResult, SheetRow, TrainingTask, UpdateFacts, Validation } from '../training/task.ts';
import { seedAt } from './draws.ts';
import { groupsOf } from './groups.ts';
import { meanMasks } from './mask-count.ts';
import { promptsOf } from './prompts.ts';

/** The models of stage 2. */
interface SegModels {
  readonly model: SegModel;
  readonly text: TextModel;
}

const FILE = 'seg.safetensors';

/** The labels with the most of each pixel. @shape scores [1, H, W, V] */
async function labelsOf(scores: Tensor, { width, height }: { width: number; height: number }): Promise<LabelMap> {
  const best = tidy(() => argMax(scores, 3));
  const labels = Uint8Array.from(await best.data());
  best.dispose();
  return { width, height, data: labels };
}

/** Stage 2: the Seg LoRA, the feature fusion and the head. */
class SegTask implements TrainingTask {
  readonly groups;
  readonly #models: SegModels;
  readonly #recipe: SegRecipe;
  readonly #classes: readonly DatasetClass[];
  readonly #fusion: SegmentationStage['fusion'];

  constructor(
    models: SegModels,
    recipe: SegRecipe,
    classes: readonly DatasetClass[],
    fusion: SegmentationStage['fusion'],
  ) {
    this.#models = models;
    this.#recipe = recipe;
    this.#classes = classes;
    this.#fusion = fusion;
    const { unet, fusion: projections, head } = models.model;
    this.groups = groupsOf({ unet, projections, head }, recipe.optimizer);
  }

  #embed(samples: readonly Sample[], place?: BatchPlace): Tensor3D {
    const { text } = this.#models;
    const names = this.#classes.map(({ name }) => name);
    const prompts = promptsOf(samples, names, text.tokenizer, this.#recipe, place);
    return text.embed(prompts.map((prompt) => prompt.text));
  }

  #targets(samples: readonly Sample[]): MaskTargets[] {
    return samples.map(({ id, labels }) => {
      if (labels === undefined) {
        throw new Error(`train seg: each sample has labels; got none with ${id}; give a source with labels`);
      }
      return semanticTargets(labels, { classes: this.#classes.length });
    });
  }

  factsOf(parts: readonly (readonly Sample[])[]): UpdateFacts {
    return { numMasks: meanMasks(parts) };
  }

  async run(samples: readonly Sample[], place: BatchPlace, facts: UpdateFacts = {}): Promise<BatchResult> {
    const { seed, timestep, checkpointing, criterion } = this.#recipe;
    const targets = this.#targets(samples);
    const batch = {
      image: imageBatch(samples.map(({ degraded }) => degraded)),
      text: this.#embed(samples, place),
      targets,
    };
    const given = Object.fromEntries(Object.entries(criterion).filter(([, value]) => value !== undefined));
    try {
      return await segStep(this.#models.model, batch, {
        timestep,
        checkpointing,
        criterion: { ...given, ...facts, points: seedAt(seed, 'points', place) },
      });
    } finally {
      dispose([batch.image, batch.text, ...targets.map(({ masks }) => masks)]);
    }
  }

  async #segment(sample: Sample): Promise<LabelMap> {
    const { model } = this.#models;
    const { timestep } = this.#recipe;
    const text_BTD = this.#embed([sample]);
    const image = imageBatch([sample.degraded]);
    const segmenter = {
      features: (window_BHWC: typeof image) => rassFeatures(model, window_BHWC, text_BTD, { timestep }),
      head: (features: ReturnType<typeof rassFeatures>) => mask2FormerHead(model.head, features),
    };
    const scores = semanticInference(segmenter, image);
    const labels = await labelsOf(scores, sample.degraded);
    dispose([text_BTD, image, scores]);
    return labels;
  }

  #sheetRow(sample: Sample, predicted: LabelMap): SheetRow {
    const colours = this.#classes.map(({ colour }) => colour);
    return {
      title: sample.id,
      legend: legendOf(predicted, this.#classes),
      pictures: [
        { caption: 'degraded', picture: sample.degraded },
        { caption: 'segmented', picture: overlayLabels(sample.degraded, predicted, colours) },
        { caption: 'prediction', picture: colourLabels(predicted, colours) },
        { caption: 'truth', picture: colourLabels(sample.labels!, colours) },
        { caption: 'clean', picture: sample.clean },
      ],
    };
  }

  async validate(samples: readonly Sample[], { pictures }: { readonly pictures: number }): Promise<Validation> {
    const matrix = new ConfusionMatrix({ classes: this.#classes.length });
    const sheet: SheetRow[] = [];
    for (const [i, sample] of samples.entries()) {
      const predicted = await this.#segment(sample);
      matrix.add(predicted, sample.labels!);
      if (i < pictures) sheet.push(this.#sheetRow(sample, predicted));
    }
    const { miou, pixelAccuracy } = matrix.scores();
    return { metrics: { miou, pixelAccuracy }, sheet };
  }

  save(folder: string): Promise<void> {
    const { model: from, lora, timestep, mergeRestoration, head } = this.#recipe;
    const { unet, fusion, head: headParams } = this.#models.model;
    return makeFolderBeside(folder, async (temporary) => {
      await linkFolder(from, temporary);
      const { restoration } = await readStages(from);
      await saveStage(join(temporary, FILE), unet, fusion, headParams);
      const segmentation = {
        file: FILE,
        ...lora,
        timestep,
        mergesRestoration: mergeRestoration,
        size: this.#recipe.data.augment.crop,
        classes: this.#classes.map(({ name, colour: [red, green, blue] }) => ({
          name,
          colour: [red, green, blue] as [number, number, number],
        })),
        head: { ...head, num_labels: this.#classes.length },
        fusion: this.#fusion,
      };
      await writeStages(temporary, { format: 1, ...(restoration && { restoration }), segmentation });
    });
  }

  dispose(): void {
    const { model, text } = this.#models;
    disposeParams([model.unet, model.fusion, model.head, model.vae]);
    text.dispose();
  }
}

/** The frozen UNet that the Seg LoRA goes on: with the SCR LoRA merged, where the recipe says so. */
async function startingUnet(folder: Model, { mergeRestoration, model }: SegRecipe): Promise<Unet> {
  const { restoration } = folder.stages;
  if (!mergeRestoration && restoration !== undefined && restoration.file === undefined) {
    throw new Error(
      `train seg: a UNet is frozen as it was before restoration; got ${model}, an export with that merged; give the model that it was exported from`,
    );
  }
  const unet = await folder.loadUnet();
  if (!mergeRestoration) return unet;
  if (restoration !== undefined) return restoringUnet(folder, unet, restoration);
  throw new Error(
    `train seg: ${model} has an SCR LoRA to merge; got none; train it by rass train scr, or set mergeRestoration to false`,
  );
}

/** The task of `rass train seg`. */
export async function segTask(recipe: SegRecipe, classes: readonly DatasetClass[]): Promise<TrainingTask> {
  const { seed, lora } = recipe;
  if (classes.length === 0) {
    throw new Error(
      'train seg: the data have labels of one set of classes; got none; give data with labels, or scenes',
    );
  }
  const folder = await openModel(recipe.model);
  const [vae, text] = [await folder.loadVae(), await folder.loadText()];
  const base = await startingUnet(folder, recipe);
  await folder.close();
  const { taps: names, ...widths } = recipe.fusion;
  const fusionConfig = { ...widths, taps: modelTaps(vae.config, base.config, names) };
  const headConfig = parseMask2FormerConfig({ ...recipe.head, num_labels: classes.length });
  const unet = trainableStage(await addSegLora(base, { ...lora, seed }), { shared: false });
  const start = rassHeadParams(randomParams(seed), headConfig, fusionConfig);
  const head = trainable(start, () => true);
  disposeParams(start);
  return new SegTask({ model: { vae, unet, ...head }, text }, recipe, classes, fusionConfig);
}
