import { shortestEdge } from '@rass/datasets';
import { type LabelMap, type RgbImage, resizeImage, type Size } from '@rass/images';
import { labelsAtSize, type Mask2FormerHead, mask2FormerHead, parseMask2FormerConfig } from '@rass/mask2former';
import type { ParamSource } from '@rass/nn';
import {
  type FeatureFusion,
  type InferenceProgress,
  rassFeatures,
  rassHeadParams,
  semanticInferenceAsync,
} from '@rass/rass';
import type { Unet } from '@rass/unet';
import { squeeze, type Tensor3D, type Tensor4D } from '@tensorflow/tfjs-core';
import { imageBatch } from '../images/tensors.ts';
import { restoringUnet, segmentingUnet } from '../model/load-stage.ts';
import type { Model } from '../model/open.ts';
import type { SegmentationStage } from '../model/stages.ts';
import { holding } from './held.ts';
import { MOST_SHORT_SIDES, SHORT_SIDE, type SharedModels } from './task.ts';

export interface SegmentOptions {
  readonly tags?: readonly string[];
  /** The shorter side as the model sees it; default what it was trained with, or 512. */
  readonly shortSide?: number;
  /** The longer side at most, for which the shorter one is made less; default four times the shorter side, as the released RASS has it. */
  readonly longSide?: number;
  /** Is told in a sentence where the longer side was too long. */
  readonly onNote?: (note: string) => void;
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

/** The size at which the model sees a photograph. */
function seenSize(image: RgbImage, trainedAt: number, { shortSide, longSide, onNote }: SegmentOptions): Size {
  const side = shortSide ?? trainedAt;
  const longest = longSide ?? MOST_SHORT_SIDES * side;
  const size = shortestEdge(image, { side, longest });
  if (Math.min(size.width, size.height) < side) {
    onNote?.(
      `it is seen at ${size.width} x ${size.height} pixels: the longer side is at most ${longest}, so that the shorter one is less than ${side}`,
    );
  }
  return size;
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
      const { width, height } = image;
      const size = seenSize(image, stage.size ?? SHORT_SIDE, options);
      const isOwn = size.width === width && size.height === height;
      const data = await holding(async (hold) => {
        const scores = hold(await scoresOf(segmenting, shared, isOwn ? image : resizeImage(image, size), options));
        const { signal } = options;
        const labels = hold(squeeze<Tensor3D>(scores, [0]));
        return Uint8Array.from(await labelsAtSize(labels, [height, width], { ...(signal && { signal }) }));
      });
      return { width, height, data };
    },
  };
  return segmenting;
}
