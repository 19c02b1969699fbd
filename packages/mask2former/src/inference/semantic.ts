import { anything, checkOptions, flag, type OptionRules } from '@rass/kernels/options';
import {
  argMax,
  dispose,
  matMul,
  reshape,
  type Tensor2D,
  type Tensor3D,
  tensor2d,
  transpose,
} from '@tensorflow/tfjs-core';
import type { Prediction } from '../outputs.ts';
import { tidied } from '../tidied.ts';
import { type Band, bandsOf, resizedBand } from './bands.ts';
import { maskLogits, type QueryClasses, readClasses } from './predictions.ts';
import { emptyMap, type SegmentationMap } from './segmentation.ts';
import { type ImageSizes, type SizeOptions, sizesOf } from './sizes.ts';

export interface SemanticOptions extends SizeOptions {
  /** Default false. They take V times the map's size. */
  readonly returnSegmentationScores?: boolean;
}

export interface SemanticSegmentation {
  /** The class of each pixel. */
  readonly segmentation: SegmentationMap;
  /** [V, height, width]: how much speaks for each class. Scores do not sum to 1, and may exceed it. */
  readonly segmentationScores?: Float32Array<ArrayBuffer>;
}

interface SemanticBand {
  /** [rows, width] */
  readonly labels: Tensor2D;
  /** [V, rows, width], where asked for */
  readonly scores?: Tensor3D;
}

const WHERE = 'postProcessSemanticSegmentation';

function classWeights({ queries, classes, probabilities }: QueryClasses): Tensor2D {
  const weights = new Float32Array(queries * classes);
  for (let q = 0; q < queries; q++) {
    weights.set(probabilities.subarray(q * (classes + 1), q * (classes + 1) + classes), q * classes);
  }
  return tensor2d(weights, [queries, classes]);
}

function semanticBand(
  logits_HWQ: Tensor3D,
  weights_QV: Tensor2D,
  sizes: ImageSizes,
  band: Band,
  withScores: boolean,
): SemanticBand {
  return tidied(() => {
    const [Q, V] = weights_QV.shape;
    const scores = resizedBand(logits_HWQ, sizes, band, (masks_HWQ) => {
      const [rows, columns] = masks_HWQ.shape;
      return reshape(matMul(reshape(masks_HWQ, [rows * columns, Q]) as Tensor2D, weights_QV), [rows, columns, V]);
    });
    const labels = argMax(scores, 2) as Tensor2D;
    return withScores ? { labels, scores: transpose(scores, [2, 0, 1]) } : { labels };
  });
}

async function segmentImage(
  logits_HWQ: Tensor3D,
  weights_QV: Tensor2D,
  sizes: ImageSizes,
  withScores: boolean,
): Promise<SemanticSegmentation> {
  const [Q, V] = weights_QV.shape;
  const [height, width] = sizes.target;
  const segmentation = emptyMap(sizes.target, 0);
  const segmentationScores = withScores ? new Float32Array(V * height * width) : undefined;
  for (const band of bandsOf(sizes, Math.max(Q, V))) {
    const { labels, scores } = semanticBand(logits_HWQ, weights_QV, sizes, band, withScores);
    try {
      segmentation.data.set(await labels.data(), band.first * width);
      const values = await scores?.data();
      const count = (band.end - band.first) * width;
      for (let v = 0; values !== undefined && v < V; v++) {
        segmentationScores?.set(values.subarray(v * count, (v + 1) * count), (v * height + band.first) * width);
      }
    } finally {
      dispose([labels, ...(scores === undefined ? [] : [scores])]);
    }
  }
  return segmentationScores === undefined ? { segmentation } : { segmentation, segmentationScores };
}

const SEMANTIC_OPTIONS_RULES: OptionRules<SemanticOptions> = {
  returnSegmentationScores: flag,
  targetSizes: anything,
  maskSize: anything,
  imageSizes: anything,
};

/** The class of every pixel: each query votes for its classes where its mask is. In bands of rows, so that images may be large.
 * With maskSize and imageSizes it is detectron2's semantic inference.
 * @throws when shapes, sizes or logits are not as they should be
 * @source transformers 5.23 Mask2FormerImageProcessor.post_process_semantic_segmentation; golden/mask2former/inference-semantic */
export async function postProcessSemanticSegmentation(
  outputs: Prediction,
  options: SemanticOptions = {},
): Promise<SemanticSegmentation[]> {
  checkOptions('postProcessSemanticSegmentation', options, SEMANTIC_OPTIONS_RULES);
  const { returnSegmentationScores = false, ...sizeOptions } = options;
  const sizes = sizesOf(WHERE, outputs.classQueriesLogits.shape[0], sizeOptions);
  const images = await readClasses(WHERE, outputs);
  const results: SemanticSegmentation[] = [];
  for (const [image, queries] of images.entries()) {
    const [logits, weights] = [maskLogits(outputs, image), classWeights(queries)];
    try {
      results.push(await segmentImage(logits, weights, sizes[image], returnSegmentationScores));
    } finally {
      dispose([logits, weights]);
    }
  }
  return results;
}
