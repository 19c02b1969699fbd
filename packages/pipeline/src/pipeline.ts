import { type DatasetClass, shortestEdge } from '@rass/datasets';
import { cropImage, type LabelMap, type RgbImage, resizeImage, resizeLabels } from '@rass/images';
import { resize } from '@rass/kernels';
import { type Mask2FormerHead, mask2FormerHead, parseMask2FormerConfig } from '@rass/mask2former';
import { adainColourFix, waveletColourFix } from '@rass/metrics';
import { disposeParams, randomParams } from '@rass/nn';
import {
  type FeatureFusion,
  type LatentTiling,
  type Restorer,
  rassFeatures,
  rassHeadParams,
  restoreLatents,
  semanticInferenceAsync,
  type TileProgress,
  tiledLatentsAsync,
} from '@rass/rass';
import { attentionNames, type Unet } from '@rass/unet';
import { scaleLatents, unscaleLatents, type Vae, vaeDecodeAsync, vaeEncodeAsync } from '@rass/vae';
import type { ByteFolder, OpenOptions } from '@rass/weights';
import { argMax, dispose, type Tensor, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { latentsOf } from './images/latents.ts';
import { padEdges } from './images/pad.ts';
import { imageBatch, imagesOf } from './images/tensors.ts';
import { restoringUnet, segmentingUnet } from './model/load-stage.ts';
import { type Model, openModel } from './model/open.ts';
import type { RestorationStage, SegmentationStage } from './model/stages.ts';
import type { TagModel } from './model/text-model.ts';
import { type TagAttention, tagAttention } from './tags/attention.ts';

export type ColourFix = 'none' | 'adain' | 'wavelet';

export interface RestoreOptions {
  /** What the photograph shows; default nothing. */
  readonly tags?: readonly string[];
  /** Which colours a restored photograph takes from the bad one; default none. */
  readonly colourFix?: ColourFix;
  /** How many times larger; default 1. */
  readonly upscale?: number;
  readonly tiling?: LatentTiling;
  /** Ends the work after the block or tile that it is at; nothing stays in memory then. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RestoreProgress) => void;
}

/** How far a restoration has come. */
export interface RestoreProgress {
  readonly stage: 'encode' | 'restore' | 'decode';
  /** Of the stage, from 0 to 1. */
  readonly done: number;
}

export interface SegmentOptions {
  readonly tags?: readonly string[];
  /** The shorter side as the model sees it; default what it was trained with, or 512. */
  readonly shortSide?: number;
  /** Also the mirror image, averaged. */
  readonly flip?: boolean;
  /** Also these sizes, averaged; default [1]. */
  readonly scales?: readonly number[];
  /** Ends the work after the window that it is at; nothing stays in memory then. */
  readonly signal?: AbortSignal;
}

/** A model that is loaded to restore, to segment, or for both. */
export interface Pipeline {
  /** Of the labels; none where the model does not segment. */
  readonly classes: readonly DatasetClass[];
  /** The size of the photograph, times upscale. @throws when the model was not opened to restore */
  restore(image: RgbImage, options?: RestoreOptions): Promise<RgbImage>;
  /** Where the restoring model looks for each tag. @throws when the model was not opened to restore, or there is no tag */
  attend(image: RgbImage, options: { readonly tags: readonly string[] }): Promise<TagAttention[]>;
  /** The photograph's size. @throws when the model was not opened to segment */
  segment(image: RgbImage, options?: SegmentOptions): Promise<LabelMap>;
  dispose(): void;
}

const MULTIPLE = 64;
const SHORT_SIDE = 512;
/** From so many pixels on the autoencoder goes band by band. */
const BANDS_FROM = 2 ** 20;
/** Scores above this are not brought to the photograph's size; labels are. */
const MOST_SCORES = 2 ** 27;

interface Restoring {
  readonly unet: Unet;
  readonly stage: RestorationStage;
}
interface Segmenting {
  readonly unet: Unet;
  readonly head: { readonly fusion: FeatureFusion; readonly head: Mask2FormerHead };
  readonly stage: SegmentationStage;
}
interface Models {
  readonly vae: Vae;
  readonly text: TagModel;
  readonly schedule: Restorer['schedule'];
  readonly restoring: Restoring | undefined;
  readonly segmenting: Segmenting | undefined;
}

class LoadedPipeline implements Pipeline {
  readonly #models: Models;

  constructor(models: Models) {
    this.#models = models;
  }

  get classes(): readonly DatasetClass[] {
    return this.#models.segmenting?.stage.classes ?? [];
  }

  async #embed(tags: readonly string[] = []): Promise<Tensor3D> {
    const { text } = this.#models;
    return text.embed(await text.prompt(tags));
  }

  /** An image whose sides fit, restored piece by piece. */
  async #restored(image: RgbImage, options: RestoreOptions, { unet, stage }: Restoring): Promise<RgbImage> {
    const { vae, schedule } = this.#models;
    const { tiling, signal, onProgress } = options;
    const { timestep, latentUpdate } = stage;
    const told = (name: RestoreProgress['stage']) => ({ done }: { done: number }) => onProgress?.({ stage: name, done }); // biome-ignore format: one line
    const stop = signal && { signal };
    const pass = { ...(image.width * image.height >= BANDS_FROM && { tiling: 'exact' as const }), ...stop };
    // No tidy spans an await: what is made is freed here, whatever happens.
    const held: Tensor[] = [];
    const hold = <T extends Tensor>(tensor: T): T => {
      held.push(tensor);
      return tensor;
    };
    try {
      const text = hold(await this.#embed(options.tags));
      const pixels = hold(imageBatch([image]));
      const { posterior } = await vaeEncodeAsync(vae, pixels, { ...pass, onProgress: told('encode') });
      const latents = hold(tidy(() => scaleLatents(vae.config, posterior.mean)));
      dispose(posterior);
      const step = (tile: Tensor4D): Tensor4D =>
        tidy(() => restoreLatents({ unet, schedule }, tile, text, { timestep, latentUpdate }).latents);
      const onTile = ({ done, tiles }: TileProgress) => told('restore')({ done: done / tiles });
      const better = hold(await tiledLatentsAsync(latents, step, { ...tiling, ...stop, onTile }));
      const unscaled = hold(unscaleLatents(vae.config, better));
      const { image: decoded } = await vaeDecodeAsync(vae, unscaled, { ...pass, onProgress: told('decode') });
      const [whole] = await imagesOf(hold(decoded));
      return whole!;
    } finally {
      dispose(held);
    }
  }

  async restore(image: RgbImage, options: RestoreOptions = {}): Promise<RgbImage> {
    const { restoring } = this.#models;
    if (restoring === undefined) throw new Error('restore: the model was opened to restore; got one that was not');
    const { colourFix = 'none', upscale = 1 } = options;
    const size = { width: Math.round(image.width * upscale), height: Math.round(image.height * upscale) };
    const large = upscale === 1 ? image : resizeImage(image, size, 'bicubic');
    const whole = await this.#restored(padEdges(large, MULTIPLE), options, restoring);
    return fixColours(cropImage(whole, { left: 0, top: 0, ...size }), large, colourFix);
  }

  async attend(image: RgbImage, { tags }: { readonly tags: readonly string[] }): Promise<TagAttention[]> {
    const { restoring, vae, schedule, text, segmenting } = this.#models;
    if (restoring === undefined) throw new Error('attend: the model was opened to restore; got one that was not');
    if (tags.length === 0) throw new Error('attend: attention is to a tag; got none; name what the photograph shows');
    const { unet, stage } = restoring;
    // Attention takes memory with the square of the pixels.
    const size = shortestEdge(image, segmenting?.stage.size ?? SHORT_SIDE, Number.POSITIVE_INFINITY);
    const small = size.width < image.width ? resizeImage(image, size) : image;
    const padded = padEdges(small, MULTIPLE);
    const prompt = await text.prompt(tags);
    const embedded = text.embed(prompt);
    const latents = latentsOf(vae, [padded]);
    const [, rows, columns] = latents.shape;
    const { timestep, latentUpdate } = stage;
    const attention = attentionNames(unet.config).map(({ name }) => name);
    const maps = tidy(() => ({
      ...restoreLatents({ unet, schedule }, latents, embedded, { timestep, latentUpdate, attention }).attention,
    }));
    dispose([embedded, latents]);
    const inside = [small.height / padded.height, small.width / padded.width] as const;
    const found = await tagAttention(maps, [rows, columns], prompt.tags, inside);
    dispose(maps);
    return found;
  }

  async #scores(image: RgbImage, options: SegmentOptions): Promise<Tensor4D> {
    const { segmenting, vae } = this.#models;
    if (segmenting === undefined) throw new Error('segment: the model was opened to segment; got one that was not');
    const { unet, head, stage } = segmenting;
    const text = await this.#embed(options.tags);
    const batch = imageBatch([image]);
    const segmenter = {
      features: (window: Tensor4D) =>
        rassFeatures({ vae, unet, fusion: head.fusion }, window, text, { timestep: stage.timestep }),
      head: (features: ReturnType<typeof rassFeatures>) => mask2FormerHead(head.head, features),
    };
    const { flip = false, scales = [1], signal } = options;
    try {
      return await semanticInferenceAsync(segmenter, batch, { flip, scales, ...(signal && { signal }) });
    } finally {
      dispose([text, batch]);
    }
  }

  async segment(image: RgbImage, options: SegmentOptions = {}): Promise<LabelMap> {
    const shortSide = options.shortSide ?? this.#models.segmenting?.stage.size ?? SHORT_SIDE;
    const size = shortestEdge(image, shortSide, Number.POSITIVE_INFINITY);
    const isOwn = size.width === image.width && size.height === image.height;
    const scores = await this.#scores(isOwn ? image : resizeImage(image, size), options);
    const own = image.width * image.height * this.classes.length <= MOST_SCORES;
    const best = tidy(() => {
      const sized = own && !isOwn ? resize(scores, [image.height, image.width], 'bilinear') : scores;
      return argMax(sized, 3);
    });
    const data = Uint8Array.from(await best.data());
    dispose([scores, best]);
    if (own) return { width: image.width, height: image.height, data };
    return resizeLabels({ ...size, data }, image);
  }

  dispose(): void {
    const { vae, text, restoring, segmenting } = this.#models;
    disposeParams([vae, restoring?.unet ?? [], segmenting?.unet ?? [], segmenting?.head ?? []]);
    text.dispose();
  }
}

function fixColours(restored: RgbImage, style: RgbImage, fix: ColourFix): RgbImage {
  if (fix === 'none') return restored;
  const apply = fix === 'adain' ? adainColourFix : waveletColourFix;
  const { data } = apply({ ...restored, channels: 3 }, { ...style, channels: 3 });
  return { width: restored.width, height: restored.height, data: new Uint8Array(data.buffer) };
}

async function loadRestoring(model: Model): Promise<Restoring> {
  const stage = model.stages.restoration;
  if (stage !== undefined) return { stage, unet: await restoringUnet(model, await model.loadUnet(), stage) };
  throw new Error(`model: ${model.name}: to restore it has an SCR LoRA; got none; train it by rass train scr`);
}

async function loadSegmenting(model: Model): Promise<Segmenting> {
  const { segmentation: stage, restoration } = model.stages;
  if (stage === undefined) {
    throw new Error(`model: ${model.name}: to segment it has a head; got none; train it by rass train seg`);
  }
  const loaded = await model.loadUnet();
  const base =
    stage.mergesRestoration && restoration !== undefined ? await restoringUnet(model, loaded, restoration) : loaded;
  const start = rassHeadParams(randomParams(0), parseMask2FormerConfig(stage.head), stage.fusion);
  const { unet, head } = await segmentingUnet(model, base, start, stage);
  return { unet, head, stage };
}

/** What is loaded of a model. */
export interface PipelineOptions extends OpenOptions {
  readonly restore: boolean;
  readonly segment: boolean;
}

/** Loads what restores, what segments, or both, of a model's folder: by its URL, or any folder of bytes; `@rass/pipeline/node` takes paths.
 * @throws when it is none, or was not trained for what is asked */
export async function openPipeline(
  root: string | URL | ByteFolder,
  { restore, segment, ...options }: PipelineOptions,
): Promise<Pipeline> {
  const model = await openModel(root, options);
  const loaded: unknown[] = [];
  const kept = <T>(tree: T): T => {
    loaded.push(tree);
    return tree;
  };
  try {
    const restoring = restore ? kept(await loadRestoring(model)) : undefined;
    const segmenting = segment ? kept(await loadSegmenting(model)) : undefined;
    const vae = kept(await model.loadVae());
    const text = await model.loadTags();
    loaded.push(text.params);
    return new LoadedPipeline({ vae, text, schedule: model.schedule(), restoring, segmenting });
  } catch (error) {
    disposeParams(loaded);
    throw error;
  } finally {
    await model.close();
  }
}
