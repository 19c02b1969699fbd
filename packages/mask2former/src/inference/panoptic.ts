import { anything, checkOptions, type OptionRules } from '@rass/kernels/options';
import {
  argMax,
  cast,
  dispose,
  gather,
  greaterEqual,
  mul,
  reshape,
  sum,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import type { Prediction } from '../outputs.ts';
import { tidied } from '../tidied.ts';
import { type Band, bandsOf, resizedBand } from './bands.ts';
import { checkThresholds, maskLogits, type QueryClasses, readClasses } from './predictions.ts';
import { emptyMap, roundedScore, type SegmentationMap, type SegmentInfo } from './segmentation.ts';
import { type ImageSizes, type SizeOptions, sizesOf } from './sizes.ts';

export interface PanopticOptions extends SizeOptions {
  /** Queries whose surest class has more than this are kept. Default 0.5. */
  readonly threshold?: number;
  /** Where a mask times its query's score reaches this, it has its whole area. Default 0.5. */
  readonly maskThreshold?: number;
  /** A segment keeps more than this share of its whole area, or is dropped. Default 0.8. */
  readonly overlapMaskAreaThreshold?: number;
  /** Classes, such as sky, of which an image has one segment at most. Default none. */
  readonly labelIdsToFuse?: Iterable<number>;
  /** Hugging Face counts on from a fused segment's id, which gives some ids twice, lists a fused segment once for each of
   * its queries, and fills a map without segments with -1. True: every segment has its own id and is listed once, with
   * its best score; 0 is no segment, always. Default false. */
  readonly distinctIds?: boolean;
}

export interface PanopticSegmentation {
  /** Ids of segments, from 1. 0: none; -1 everywhere where no query is kept. */
  readonly segmentation: SegmentationMap;
  readonly segmentsInfo: readonly SegmentInfo[];
}

/** A query that is kept. */
interface Candidate {
  readonly query: number;
  readonly labelId: number;
  readonly score: number;
}

/** Which candidate is the strongest at each pixel, and each one's areas. */
interface Contest {
  readonly winners: SegmentationMap;
  /** Pixels where it wins. */
  readonly won: Float64Array;
  /** Pixels where it reaches the mask's threshold. */
  readonly whole: Float64Array;
}

const WHERE = 'postProcessPanopticSegmentation';

/** Queries that are surer than the threshold, and of an object. */
function candidatesOf({ queries, classes, probabilities }: QueryClasses, threshold: number): Candidate[] {
  const found: Candidate[] = [];
  for (let query = 0; query < queries; query++) {
    const row = probabilities.subarray(query * (classes + 1), (query + 1) * (classes + 1));
    const score = row.reduce((a, b) => Math.max(a, b));
    const labelId = row.indexOf(score);
    if (labelId !== classes && score > threshold) found.push({ query, labelId, score });
  }
  return found;
}

interface ContestBand {
  /** [rows, width] */
  readonly winners: Tensor2D;
  /** [K] */
  readonly whole: Tensor1D;
}

function contestBand(
  masks_HWK: Tensor3D,
  scores_K: Tensor1D,
  sizes: ImageSizes,
  band: Band,
  threshold: number,
): ContestBand {
  return tidied(() => {
    const weighed = mul(
      resizedBand(masks_HWK, sizes, band, (x) => x),
      scores_K,
    ) as Tensor3D;
    const reached = cast(greaterEqual(weighed, threshold), 'float32');
    return {
      winners: argMax(weighed, 2) as Tensor2D,
      whole: sum(reshape(reached, [-1, scores_K.shape[0]]), 0) as Tensor1D,
    };
  });
}

async function contest(
  masks_HWK: Tensor3D,
  scores_K: Tensor1D,
  sizes: ImageSizes,
  threshold: number,
): Promise<Contest> {
  const [K] = scores_K.shape;
  const winners = emptyMap(sizes.target, 0);
  const [won, whole] = [new Float64Array(K), new Float64Array(K)];
  for (const band of bandsOf(sizes, K)) {
    const part = contestBand(masks_HWK, scores_K, sizes, band, threshold);
    try {
      winners.data.set(await part.winners.data(), band.first * winners.width);
      (await part.whole.data()).forEach((area, k) => {
        whole[k] += area;
      });
    } finally {
      dispose([part.winners, part.whole]);
    }
  }
  for (const k of winners.data) won[k]++;
  return { winners, won, whole };
}

/** Candidates that keep enough of their area become segments, in their order. */
function segmentsOf(
  candidates: readonly Candidate[],
  { winners, won, whole }: Contest,
  share: number,
  fused: ReadonlySet<number>,
  distinctIds: boolean,
): PanopticSegmentation {
  const ids = new Int32Array(candidates.length);
  const segmentsInfo: SegmentInfo[] = [];
  const fusedIds = new Map<number, number>();
  let last = 0;
  candidates.forEach(({ labelId, score: exact }, k) => {
    if (!(won[k] > 0 && whole[k] > 0 && won[k] / whole[k] > share)) return;
    const [known, score, wasFused] = [fusedIds.get(labelId), roundedScore(exact), fused.has(labelId)];
    const id = known ?? last + 1;
    ids[k] = id;
    if (wasFused) fusedIds.set(labelId, id);
    if (!distinctIds) last = id;
    else if (known === undefined) last++;
    const listed = distinctIds && known !== undefined ? segmentsInfo.findIndex((info) => info.id === known) : -1;
    if (listed < 0) segmentsInfo.push({ id, labelId, wasFused, score });
    else segmentsInfo[listed] = { ...segmentsInfo[listed], score: Math.max(score, segmentsInfo[listed].score) };
  });
  return { segmentation: { ...winners, data: winners.data.map((k) => ids[k]) }, segmentsInfo };
}

/** @throws unless each is a class */
function fusedClasses(labelIds: Iterable<number>, classes: number): ReadonlySet<number> {
  for (const id of labelIds) {
    if (Number.isInteger(id) && id >= 0 && id < classes) continue;
    throw new Error(
      `${WHERE}: labelIdsToFuse are classes, from 0 to ${classes - 1}; got ${id}; give the model's own numbers`,
    );
  }
  return new Set(labelIds);
}

const PANOPTIC_OPTIONS_RULES: OptionRules<PanopticOptions> = {
  threshold: anything,
  maskThreshold: anything,
  overlapMaskAreaThreshold: anything,
  labelIdsToFuse: anything,
  distinctIds: anything,
  targetSizes: anything,
  maskSize: anything,
  imageSizes: anything,
};

/** Every pixel's segment: the surest queries' masks compete, and who keeps most of its area is a segment.
 * @throws when shapes, sizes, thresholds, classes or logits are not as they should be
 * @source transformers 5.23 Mask2FormerImageProcessor.post_process_panoptic_segmentation; golden/mask2former/inference-panoptic */
export async function postProcessPanopticSegmentation(
  outputs: Prediction,
  options: PanopticOptions = {},
): Promise<PanopticSegmentation[]> {
  checkOptions('postProcessPanopticSegmentation', options, PANOPTIC_OPTIONS_RULES);
  const { threshold = 0.5, maskThreshold = 0.5, overlapMaskAreaThreshold = 0.8, distinctIds = false } = options;
  checkThresholds(WHERE, { threshold, maskThreshold, overlapMaskAreaThreshold });
  const sizes = sizesOf(WHERE, outputs.classQueriesLogits.shape[0], options);
  const images = await readClasses(WHERE, outputs);
  const fused = fusedClasses([...(options.labelIdsToFuse ?? [])], outputs.classQueriesLogits.shape[2] - 1);
  const results: PanopticSegmentation[] = [];
  for (const [image, queries] of images.entries()) {
    const candidates = candidatesOf(queries, threshold);
    if (candidates.length === 0) {
      results.push({ segmentation: emptyMap(sizes[image].target, distinctIds ? 0 : -1), segmentsInfo: [] });
      continue;
    }
    const masks = tidy(() =>
      gather(
        maskLogits(outputs, image),
        tensor1d(
          candidates.map(({ query }) => query),
          'int32',
        ),
        2,
      ),
    );
    const scores = tensor1d(candidates.map(({ score }) => score));
    try {
      const outcome = await contest(masks, scores, sizes[image], maskThreshold);
      results.push(segmentsOf(candidates, outcome, overlapMaskAreaThreshold, fused, distinctIds));
    } finally {
      dispose([masks, scores]);
    }
  }
  return results;
}
