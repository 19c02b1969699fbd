import type { DatasetClass } from '@rass/datasets';
import type { LabelMap, RgbImage } from '@rass/images';
import {
  anything,
  called,
  checkOptions,
  flag,
  listOf,
  type OptionRules,
  oneOf,
  positive,
  text,
  whole,
} from '@rass/kernels/options';
import { disposeParams, mapTensors } from '@rass/nn';
import type { Unet } from '@rass/unet';
import type { ByteFolder, LoadProgress } from '@rass/weights';
import { clone, keep } from '@tensorflow/tfjs-core';
import { PipelineError } from './error.ts';
import { type Model, type ModelOptions, OPENING_RULES, openModel } from './model/open.ts';
import type { Stages } from './model/stages.ts';
import type { TagAttention } from './tags/attention.ts';
import type { RestoreOptions, Restoring } from './tasks/restore.ts';
import type { Segmenting, SegmentOptions } from './tasks/segment.ts';
import { SHORT_SIDE, type SharedModels } from './tasks/task.ts';

const RESTORE_RULES: OptionRules<RestoreOptions> = {
  tags: listOf(text),
  colourFix: oneOf('none', 'adain', 'wavelet'),
  upscale: positive,
  tiling: anything,
  signal: anything,
  onProgress: called,
};

const SEGMENT_RULES: OptionRules<SegmentOptions> = {
  tags: listOf(text),
  shortSide: whole(1),
  longSide: anything,
  onNote: called,
  flip: flag,
  scales: listOf(positive),
  signal: anything,
  onProgress: called,
};

interface AttendOptions {
  readonly tags: readonly string[];
}

const ATTEND_RULES: OptionRules<AttendOptions> = { tags: listOf(text) };

const PIPELINE_RULES: OptionRules<PipelineOptions> = {
  restore: flag,
  segment: flag,
  packed: flag,
  onProgress: called,
  ...OPENING_RULES,
};

/** A model that is loaded to restore, to segment, or for both. */
export interface Pipeline {
  /** Of the labels; none where the model does not segment. */
  readonly classes: readonly DatasetClass[];
  /** The size of the photograph, times upscale, with its alpha where it has some: what is transparent is seen on white. @throws when the model was not opened to restore */
  restore(image: RgbImage, options?: RestoreOptions): Promise<RgbImage>;
  /** Where the restoring model looks for each tag. @throws when the model was not opened to restore, or there is no tag */
  attend(image: RgbImage, options: AttendOptions): Promise<TagAttention[]>;
  /** The photograph's size. @throws when the model was not opened to segment */
  segment(image: RgbImage, options?: SegmentOptions): Promise<LabelMap>;
  dispose(): void;
}

interface Models extends SharedModels {
  readonly restoring: Restoring | undefined;
  readonly segmenting: Segmenting | undefined;
}

/** A picture as a model sees it: what is transparent lies on white. @throws when it is none */
async function seen(where: string, image: RgbImage): Promise<RgbImage> {
  (await import('./images/check-image.ts')).checkImage(where, image);
  return image.alpha === undefined ? image : (await import('./images/alpha.ts')).flatten(image);
}

class LoadedPipeline implements Pipeline {
  readonly #models: Models;

  constructor(models: Models) {
    this.#models = models;
  }

  get classes(): readonly DatasetClass[] {
    return this.#models.segmenting?.stage.classes ?? [];
  }

  async restore(image: RgbImage, options: RestoreOptions = {}): Promise<RgbImage> {
    checkOptions('restore', options, RESTORE_RULES);
    const { restoring, ...shared } = this.#models;
    if (restoring === undefined)
      throw new PipelineError('NotOpened', 'restore: the model was opened to restore; got one that was not');
    const restored = await restoring.restore(shared, await seen('restore', image), options);
    if (image.alpha === undefined) return restored;
    const { withAlphaOf } = await import('./images/alpha.ts');
    return withAlphaOf({ picture: restored, original: image });
  }

  async attend(image: RgbImage, options: AttendOptions): Promise<TagAttention[]> {
    checkOptions('attend', options, ATTEND_RULES);
    const { tags } = options;
    const { restoring, segmenting, ...shared } = this.#models;
    if (restoring === undefined)
      throw new PipelineError('NotOpened', 'attend: the model was opened to restore; got one that was not');
    if (tags.length === 0)
      throw new PipelineError('BadOption', 'attend: attention is to a tag; got none; name what the photograph shows');
    const { attend } = await import('./tasks/attend.ts');
    const shortSide = segmenting?.stage.size ?? SHORT_SIDE;
    return attend(restoring, shared, await seen('attend', image), { tags, shortSide });
  }

  async segment(image: RgbImage, options: SegmentOptions = {}): Promise<LabelMap> {
    checkOptions('segment', options, SEGMENT_RULES);
    const { segmenting, ...shared } = this.#models;
    if (segmenting === undefined)
      throw new PipelineError('NotOpened', 'segment: the model was opened to segment; got one that was not');
    return segmenting.segment(shared, await seen('segment', image), options);
  }

  dispose(): void {
    const { vae, text, restoring, segmenting } = this.#models;
    disposeParams([vae, restoring?.unet ?? [], segmenting?.unet ?? [], segmenting?.head ?? []]);
    text.dispose();
  }
}

/** What is loaded of a model. */
export interface PipelineOptions extends Omit<ModelOptions, 'packed' | 'onTensor'> {
  /** As of a model, but by default true: a pipeline trains nothing. */
  readonly packed?: boolean;
  readonly restore: boolean;
  readonly segment: boolean;
  /** How much is loaded, from 0 to 1. */
  readonly onProgress?: (done: number) => void;
}

/** How many files of weights are loaded: those of the autoencoder, of the texts and of the UNet, and each task's own; to segment also
 * restoration's, where that comes first. */
function countParts({ restore, segment }: PipelineOptions, { restoration, segmentation }: Stages): number {
  const ofRestoration = restoration?.file === undefined ? 0 : 1;
  const over = segmentation?.mergesRestoration ? ofRestoration : 0;
  return 3 + (restore ? ofRestoration : 0) + (segment ? 1 + over : 0);
}

/** The model with a UNet that is read once for two tasks, which share its tensors. What is left when not both took theirs is disposed of. */
function readOnce(model: Model): Model & { disposeRest(): void } {
  let rest: Unet | undefined;
  return {
    ...model,
    async loadUnet() {
      const own = rest;
      rest = undefined;
      if (own !== undefined) return own;
      const first = await model.loadUnet();
      rest = mapTensors(first, ({ tensor }) => keep(clone(tensor)));
      return first;
    },
    disposeRest: () => disposeParams(rest),
  };
}

/** Loads what restores, what segments, or both, of a model's folder: by its URL, or any folder of bytes; `@rass/pipeline/node` takes paths.
 * A page loads the program of a task with the model that is opened for it.
 * @throws when it is none, or was not trained for what is asked */
export async function openPipeline(root: string | URL | ByteFolder, options: PipelineOptions): Promise<Pipeline> {
  checkOptions('openPipeline', options, PIPELINE_RULES);
  const { restore, segment, packed = true, onProgress, ...opening } = options;
  const tasks = Promise.all([
    restore ? import('./tasks/restore.ts') : undefined,
    segment ? import('./tasks/segment.ts') : undefined,
    import('./images/check-image.ts'),
  ]);
  // Said below, once the model is open.
  tasks.catch(() => {});
  let [parts, loadedParts] = [1, 0];
  const onTensor = ({ loaded, total }: LoadProgress): void => {
    onProgress?.((loadedParts + loaded / total) / parts);
    if (loaded === total) loadedParts += 1;
  };
  const opened = await openModel(root, { ...opening, packed, onTensor });
  parts = countParts(options, opened.stages);
  const model = restore && segment ? readOnce(opened) : { ...opened, disposeRest() {} };
  const loaded: unknown[] = [];
  const kept = <T extends object>(tree: T): T => {
    loaded.push(tree);
    return tree;
  };
  const load = async (): Promise<Models> => {
    const [restorer, segmenter] = await tasks;
    const restoring = restorer && kept(await restorer.loadRestoring(model));
    const segmenting = segmenter && kept(await segmenter.loadSegmenting(model));
    const vae = kept(await model.loadVae());
    const text = await model.loadTags();
    kept(text.params);
    return { vae, text, restoring, segmenting };
  };
  try {
    return new LoadedPipeline(await load().finally(() => model.close()));
  } catch (error) {
    disposeParams(loaded);
    throw error;
  } finally {
    model.disposeRest();
  }
}
