import { shortestEdge } from '@rass/datasets';
import { type LabelMap, type RgbImage, resizeImage, resizeLabels } from '@rass/images';
import { resize } from '@rass/kernels';
import { type Mask2FormerHead, mask2FormerHead, parseMask2FormerConfig } from '@rass/mask2former';
import type { ParamSource } from '@rass/nn';
import {
  type FeatureFusion,
  type InferenceProgress,
  rassFeatures,
  rassHeadParams,
  semanticInferenceAsync,
} from '@rass/rass';
import type { Unet } from '@rass/unet';
import { argMax, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { imageBatch } from '../images/tensors.ts';
import { restoringUnet, segmentingUnet } from '../model/load-stage.ts';
import type { Model } from '../model/open.ts';
import type { SegmentationStage } from '../model/stages.ts';
import { holding } from './held.ts';
import { SHORT_SIDE, type SharedModels } from './task.ts';

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
  readonly onProgress?: (progress: SegmentProgress) => void;
}

/** How far a segmentation has come. */
export interface SegmentProgress {
  readonly stage: 'segment';
  /** From 0 to 1, window by window. */
  readonly done: number;
}

/** Scores above this are not brought to the photograph's size; labels are. */
const MOST_SCORES = 2 ** 27;

/** What segments. */
export interface Segmenting {
  readonly unet: Unet;
  readonly head: { readonly fusion: FeatureFusion; readonly head: Mask2FormerHead };
  readonly stage: SegmentationStage;
  segment(shared: SharedModels, image: RgbImage, options: SegmentOptions): Promise<LabelMap>;
}

function scoresOf(
  { unet, head, stage }: Segmenting,
  { vae, text: tags }: SharedModels,
  image: RgbImage,
  options: SegmentOptions,
): Promise<Tensor4D> {
  const { flip = false, scales = [1], signal, onProgress } = options;
  const onPiece = ({ done, pieces }: InferenceProgress) => onProgress?.({ stage: 'segment', done: done / pieces });
  return holding(async (hold) => {
    const text = hold(tags.embed(await tags.prompt(options.tags ?? [])));
    const batch = hold(imageBatch([image]));
    const segmenter = {
      features: (window: Tensor4D) =>
        rassFeatures({ vae, unet, fusion: head.fusion }, window, text, { timestep: stage.timestep }),
      head: (features: ReturnType<typeof rassFeatures>) => mask2FormerHead(head.head, features),
    };
    return semanticInferenceAsync(segmenter, batch, { flip, scales, onPiece, ...(signal && { signal }) });
  });
}

/** Loads what segments of a model. @throws when it was not trained to */
export async function loadSegmenting(model: Model): Promise<Segmenting> {
  const { segmentation: stage, restoration } = model.stages;
  if (stage === undefined) {
    throw new Error(`model: ${model.name}: to segment it has a head; got none; train it by rass train seg`);
  }
  // Before anything is loaded: what a configuration says wrong is known at once.
  const config = parseMask2FormerConfig(stage.head);
  const loaded = await model.loadUnet();
  const base =
    stage.mergesRestoration && restoration !== undefined ? await restoringUnet(model, loaded, restoration) : loaded;
  const headParams = (from: ParamSource) => rassHeadParams(from, config, stage.fusion);
  const { unet, head } = await segmentingUnet(model, base, headParams, stage);
  const segmenting: Segmenting = {
    unet,
    head,
    stage,
    async segment(shared, image, options) {
      const size = shortestEdge(image, {
        side: options.shortSide ?? stage.size ?? SHORT_SIDE,
        longest: Number.POSITIVE_INFINITY,
      });
      const isOwn = size.width === image.width && size.height === image.height;
      const own = image.width * image.height * stage.classes.length <= MOST_SCORES;
      const data = await holding(async (hold) => {
        const scores = hold(await scoresOf(segmenting, shared, isOwn ? image : resizeImage(image, size), options));
        const best = tidy(() => {
          const sized = own && !isOwn ? resize(scores, [image.height, image.width], 'bilinear') : scores;
          return argMax(sized, 3);
        });
        return Uint8Array.from(await hold(best).data());
      });
      if (own) return { width: image.width, height: image.height, data };
      return resizeLabels({ ...size, data }, image);
    },
  };
  return segmenting;
}
