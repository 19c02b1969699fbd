import { anything, checkOptions, flag, type OptionRules } from '@rass/kernels/options';
import {
  cast,
  dispose,
  greater,
  mul,
  sigmoid,
  sum,
  type Tensor2D,
  type Tensor3D,
  transpose,
} from '@tensorflow/tfjs-core';
import type { Prediction } from '../outputs.ts';
import { tidied } from '../tidied.ts';
import { type Band, bandsOf, maskBand } from './bands.ts';
import { checkThresholds, maskLogits, type QueryClasses, readClasses } from './predictions.ts';
import { runLengths } from './run-lengths.ts';
import { emptyMap, roundedScore, type SegmentationMap, type SegmentInfo } from './segmentation.ts';
import { type ImageSizes, type SizeOptions, sizesOf } from './sizes.ts';

export interface InstanceOptions extends SizeOptions {
  /** Instances with at least this score are kept. Default 0.5. */
  readonly threshold?: number;
  /** Whether the map's run lengths are given too. Default false. */
  readonly returnCocoAnnotation?: boolean;
  /** Whether each instance's own mask is given too: in the map a later one covers an earlier one. Default false. */
  readonly returnBinaryMaps?: boolean;
}

export interface InstanceSegmentation {
  /** Ids of instances, from 0; -1: none. */
  readonly segmentation: SegmentationMap;
  /** From the surest class on; scores also weigh how sure the masks are. */
  readonly segmentsInfo: readonly SegmentInfo[];
  /** For each number of the map, -1 among them, from the lowest: starts, counted from 1 row by row, and lengths in turn. */
  readonly runLengths?: readonly (readonly number[])[];
  /** For each of segmentsInfo its mask, row by row, 0 and 1. */
  readonly binaryMaps?: readonly Uint8Array<ArrayBuffer>[];
}

/** The masks of an image's queries before they are resized. */
interface QueryMasks {
  /** For each query, of the image's part of the masks: 0 and 1. */
  readonly masks: readonly Uint8Array<ArrayBuffer>[];
  /** The mean probability within each mask. */
  readonly quality: Float64Array;
}

const WHERE = 'postProcessInstanceSegmentation';
/** Keeps empty masks from dividing by zero. @source transformers 5.23 post_process_instance_segmentation */
const EPSILON = 1e-6;

interface BinaryBand {
  /** [Q, rows, columns], 1 where the mask is */
  readonly masks: Tensor3D;
  /** [rows, Q]: pixels of each row */
  readonly areas: Tensor2D;
  /** [rows, Q]: the sum of their probabilities */
  readonly probability: Tensor2D;
}

function binaryBand(logits_HWQ: Tensor3D, sizes: ImageSizes, band: Band): BinaryBand {
  return tidied(() => {
    const logits = maskBand(logits_HWQ, sizes, band);
    const inside = cast(greater(logits, 0), 'float32');
    return {
      masks: transpose(inside, [2, 0, 1]) as Tensor3D,
      areas: sum(inside, 1) as Tensor2D,
      probability: sum(mul(sigmoid(logits), inside), 1) as Tensor2D,
    };
  });
}

async function queryMasks(logits_HWQ: Tensor3D, sizes: ImageSizes): Promise<QueryMasks> {
  const Q = logits_HWQ.shape[2];
  const [height, width] = sizes.image;
  const masks = Array.from({ length: Q }, () => new Uint8Array(height * width));
  const [areas, probability] = [new Float64Array(Q), new Float64Array(Q)];
  for (const band of bandsOf({ ...sizes, target: sizes.image }, Q)) {
    const part = binaryBand(logits_HWQ, sizes, band);
    try {
      const [bits, own, total] = await Promise.all([part.masks.data(), part.areas.data(), part.probability.data()]);
      const count = (band.end - band.first) * width;
      for (let q = 0; q < Q; q++) {
        masks[q].set(bits.subarray(q * count, (q + 1) * count), band.first * width);
      }
      // Summed up here, in double precision: backends lose digits over so many pixels.
      for (let i = 0; i < own.length; i++) {
        areas[i % Q] += own[i];
        probability[i % Q] += total[i];
      }
    } finally {
      dispose([part.masks, part.areas, part.probability]);
    }
  }
  return { masks, quality: probability.map((total, q) => total / (areas[q] + EPSILON)) };
}

/** The likeliest pairs of a query and a class, as many as there are queries; a query may be in several. */
function likeliest({ queries, classes, probabilities }: QueryClasses): { query: number; labelId: number; p: number }[] {
  const pairs = Array.from({ length: queries * classes }, (_, i) => {
    const [query, labelId] = [Math.floor(i / classes), i % classes];
    return { query, labelId, p: probabilities[query * (classes + 1) + labelId] };
  });
  return pairs.sort((a, b) => b.p - a.p).slice(0, queries);
}

/** Where PyTorch's nearest interpolate looks. @source aten nearest_neighbor_compute_source_index */
function nearestPlaces(from: number, to: number): Int32Array {
  const scale = Math.fround(from / to);
  return Int32Array.from({ length: to }, (_, i) => Math.min(from - 1, Math.floor(Math.fround(i * scale))));
}

function resizedMask(mask: Uint8Array, { image, target: [height, width] }: ImageSizes): Uint8Array<ArrayBuffer> {
  const [rows, columns] = [nearestPlaces(image[0], height), nearestPlaces(image[1], width)];
  const out = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) out[y * width + x] = mask[rows[y] * image[1] + columns[x]];
  }
  return out;
}

function instancesOf(
  queries: QueryClasses,
  { masks, quality }: QueryMasks,
  sizes: ImageSizes,
  options: InstanceOptions,
): InstanceSegmentation {
  const segmentation = emptyMap(sizes.target, -1);
  const segmentsInfo: SegmentInfo[] = [];
  const binaryMaps: Uint8Array<ArrayBuffer>[] = [];
  for (const { query, labelId, p } of likeliest(queries)) {
    const score = p * quality[query];
    if (score < (options.threshold ?? 0.5)) continue;
    const mask = resizedMask(masks[query], sizes);
    if (!mask.includes(1)) continue;
    const id = segmentsInfo.length;
    for (let i = 0; i < mask.length; i++) if (mask[i] === 1) segmentation.data[i] = id;
    segmentsInfo.push({ id, labelId, wasFused: false, score: roundedScore(score) });
    if (options.returnBinaryMaps) binaryMaps.push(mask);
  }
  return {
    segmentation,
    segmentsInfo,
    ...(options.returnCocoAnnotation ? { runLengths: runLengths(segmentation) } : {}),
    ...(options.returnBinaryMaps ? { binaryMaps } : {}),
  };
}

const INSTANCE_OPTIONS_RULES: OptionRules<InstanceOptions> = {
  threshold: anything,
  returnCocoAnnotation: flag,
  returnBinaryMaps: flag,
  targetSizes: anything,
  maskSize: anything,
  imageSizes: anything,
};

/** Each instance's mask, class and score. Hugging Face's function has two more thresholds and uses neither; it leaves the
 * order of instances to torch.topk, which is from the likeliest on with 64 classes or more: here it always is.
 * @throws when shapes, sizes, the threshold or logits are not as they should be
 * @source transformers 5.23 Mask2FormerImageProcessor.post_process_instance_segmentation; golden/mask2former/inference-instance */
export async function postProcessInstanceSegmentation(
  outputs: Prediction,
  options: InstanceOptions = {},
): Promise<InstanceSegmentation[]> {
  checkOptions('postProcessInstanceSegmentation', options, INSTANCE_OPTIONS_RULES);
  checkThresholds(WHERE, { threshold: options.threshold ?? 0.5 });
  const sizes = sizesOf(WHERE, outputs.classQueriesLogits.shape[0], options);
  const images = await readClasses(WHERE, outputs);
  const results: InstanceSegmentation[] = [];
  for (const [image, queries] of images.entries()) {
    const logits = maskLogits(outputs, image);
    try {
      const masks = await queryMasks(logits, sizes[image]);
      results.push(instancesOf(queries, masks, sizes[image], options));
    } finally {
      logits.dispose();
    }
  }
  return results;
}
