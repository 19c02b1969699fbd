import { detached } from '@rass/kernels';
import {
  abs,
  add,
  cast,
  concat,
  div,
  gather,
  logSoftmax,
  mean,
  mul,
  neg,
  reshape,
  type Scalar,
  scalar,
  sigmoid,
  slice,
  softplus,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  tensor,
  tensor1d,
  tensor3d,
  tidy,
  topk,
} from '@tensorflow/tfjs-core';
import type { TargetSize } from '../inference/segmentation.ts';
import type { Mask2FormerOutput, Prediction } from '../outputs.ts';
import { tidied } from '../tidied.ts';
import { checkInputs, checkMatching } from './checks.ts';
import { predictionsOf } from './match.ts';
import type { ImageMatching, Matching } from './matching.ts';
import { type CriterionOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { paddedSizeOf, pointsWithin } from './padding.ts';
import { samplePoints } from './points.ts';
import type { MaskTargets } from './targets.ts';

/** One layer's losses, before their weights. */
export interface LayerLoss<T> {
  readonly crossEntropy: T;
  readonly mask: T;
  readonly dice: T;
}

/** The loss of a batch. */
export interface Mask2FormerLoss {
  /** All layers' losses times their weights. */
  readonly total: Scalar;
  /** Of the auxiliary layers in order and then of the last. */
  readonly layers: readonly LayerLoss<Scalar>[];
}

type Terms = LayerLoss<Scalar>;

/** One layer's prediction and matching. */
export interface Layer {
  readonly index: number;
  readonly prediction: Prediction;
  readonly matches: readonly ImageMatching[];
  readonly skipped: readonly number[];
}

/** Cross entropy of the matched queries' classes, and of "no object" of the others. */
function crossEntropy(
  { prediction, matches, skipped }: Layer,
  targets: readonly MaskTargets[],
  o: ResolvedOptions,
): Scalar {
  const [B, Q, labels] = prediction.classQueriesLogits.shape;
  const images = Array.from({ length: B }, (_, image) => image).filter((image) => !skipped.includes(image));
  if (images.length === 0) return scalar(0);
  const weights = new Float32Array(images.length * Q * labels);
  let total = 0;
  for (const [place, image] of images.entries()) {
    const classes = new Array<number>(Q).fill(labels - 1);
    const { queries, targets: chosen } = matches[image];
    for (const [i, query] of queries.entries()) classes[query] = targets[image].classes[chosen[i]];
    for (const [query, label] of classes.entries()) {
      const weight = label === labels - 1 ? o.noObjectWeight : 1;
      weights[(place * Q + query) * labels + label] = weight;
      total += weight;
    }
  }
  // Nothing was matched, and "no object" counts for nothing.
  if (total === 0) return scalar(0);
  // Left out images are gathered away, not multiplied by 0: their logits are NaN.
  const kept = gather(prediction.classQueriesLogits, tensor1d(images, 'int32'));
  return neg(div(sum(mul(logSoftmax(kept), tensor3d(weights, [images.length, Q, labels]))), total));
}

/** The points where a mask is least certain, and some others. @shape logits [R, H, W] -> [R, P, 2] */
function choosePoints(logits_RHW: Tensor3D, layer: number, o: ResolvedOptions): Tensor3D {
  const R = logits_RHW.shape[0];
  const candidates = Math.trunc(o.trainNumPoints * o.oversampleRatio);
  const uncertain = Math.trunc(o.importanceSampleRatio * o.trainNumPoints);
  const parts: Tensor[] = [];
  if (uncertain > 0) {
    const points = tensor3d(o.points.candidates(layer, R, candidates), [R, candidates, 2]);
    const { indices } = topk(neg(abs(samplePoints(logits_RHW, points))), uncertain, false);
    const starts = tensor(
      Int32Array.from({ length: R }, (_, i) => i * candidates),
      [R, 1],
      'int32',
    );
    const rows = reshape(add(cast(indices, 'int32'), starts), [R * uncertain]);
    parts.push(reshape(gather(reshape(points, [R * candidates, 2]), cast(rows, 'int32')), [R, uncertain, 2]));
  }
  const rest = o.trainNumPoints - uncertain;
  if (rest > 0) parts.push(tensor3d(o.points.uniform(layer, R, rest), [R, rest, 2]));
  return (parts.length === 1 ? parts[0] : concat(parts, 1)) as Tensor3D;
}

/** The logits of all matched pairs, image by image. @shape [R, H, W] */
function matchedLogits({ prediction, matches }: Layer): Tensor3D {
  const [B, Q, H, W] = prediction.masksQueriesLogits.shape;
  const rows = matches.flatMap(({ queries }, image) => Array.from(queries, (query) => image * Q + query));
  return gather(reshape(prediction.masksQueriesLogits, [B * Q, H, W]) as Tensor3D, tensor1d(rows, 'int32'));
}

/** An image's matched masks at their pairs' points. Points go to masks instead of masks to pairs: they are fewer,
 * and masks stay where they are but where some are left over. @shape masks [N, H, W], points [r, P, 2] -> [r, P] */
function truthOfImage(masks_NHW: Tensor3D, points_rP2: Tensor3D, chosen: Int32Array): Tensor2D {
  return tidy(() => {
    const order = Int32Array.from(chosen.keys()).sort((a, b) => chosen[a] - chosen[b]);
    const ranks = new Int32Array(chosen.length);
    for (const [rank, pair] of order.entries()) ranks[pair] = rank;
    const all = chosen.length === masks_NHW.shape[0];
    const masks = all ? masks_NHW : gather(masks_NHW, tensor1d(chosen.toSorted(), 'int32'));
    const sampled = samplePoints(masks, gather(points_rP2, tensor1d(order, 'int32')));
    return gather(sampled, tensor1d(ranks, 'int32'));
  });
}

/** The matched masks of all pairs at their points, image by image. @shape points [R, P, 2] -> [R, P] */
function matchedTruth(
  { matches }: Layer,
  targets: readonly MaskTargets[],
  points_RP2: Tensor3D,
  size: TargetSize,
): Tensor2D {
  let from = 0;
  const parts: Tensor2D[] = [];
  for (const [image, { targets: chosen }] of matches.entries()) {
    if (chosen.length === 0) continue;
    const { masks } = targets[image];
    const points_rP2 = slice(points_RP2, [from, 0, 0], [chosen.length, -1, -1]);
    parts.push(truthOfImage(masks, pointsWithin(points_rP2, size, masks), chosen));
    from += chosen.length;
  }
  return parts.length === 1 ? parts[0] : concat(parts, 0);
}

/** What the sums over masks are divided by. */
function maskCount(targets: readonly MaskTargets[], skipped: readonly number[], o: ResolvedOptions): number {
  const counts = targets.map(({ classes }, image) => (skipped.includes(image) ? 0 : classes.length));
  return (
    o.numMasks ??
    Math.max(
      1,
      counts.reduce((a, b) => a + b, 0),
    )
  );
}

/** The two losses of the matched masks, at points. */
function maskLosses(layer: Layer, targets: readonly MaskTargets[], o: ResolvedOptions): Pick<Terms, 'mask' | 'dice'> {
  if (layer.matches.every(({ queries }) => queries.length === 0)) return { mask: scalar(0), dice: scalar(0) };
  const masks = maskCount(targets, layer.skipped, o);
  const logits_RHW = matchedLogits(layer);
  const { points, truth } = detached(() => {
    const points_RP2 = choosePoints(logits_RHW, layer.index, o);
    const truth_RP = matchedTruth(layer, targets, points_RP2, paddedSizeOf(targets, o.paddedSize));
    return { points: points_RP2, truth: truth_RP };
  });
  const logits_RP = samplePoints(logits_RHW, points);
  const entropy = sub(softplus(logits_RP), mul(logits_RP, truth));
  const shares = sigmoid(logits_RP);
  const overlap = add(mul(2, sum(mul(shares, truth), 1)), 1);
  const areas = add(add(sum(shares, 1), sum(truth, 1)), 1);
  return {
    mask: div(sum(mean(entropy, 1)), masks),
    dice: div(sum(sub(1, div(overlap, areas))), masks),
  };
}

/** One layer's losses, and their sum by their weights. */
export function judgeLayer(
  layer: Layer,
  targets: readonly MaskTargets[],
  o: ResolvedOptions,
): { terms: Terms; total: Scalar } {
  return tidied(() => {
    const terms = { crossEntropy: crossEntropy(layer, targets, o), ...maskLosses(layer, targets, o) };
    const ofMasks = add(mul(o.maskWeight, terms.mask), mul(o.diceWeight, terms.dice));
    return { terms, total: add(mul(o.classWeight, terms.crossEntropy), ofMasks) as Scalar };
  });
}

/** The layers of an output that was matched. @throws when the targets or the matching do not fit it */
export function layersOf(output: Mask2FormerOutput, targets: readonly MaskTargets[], matching: Matching): Layer[] {
  const predictions = predictionsOf(output);
  checkInputs(predictions, targets);
  checkMatching(matching, predictions);
  const { layers, skipped } = matching;
  return predictions.map((prediction, index) => ({ index, prediction, matches: layers[index], skipped }));
}

/** The criterion, given the matching: cross entropy of the classes, and binary cross entropy and dice loss of the
 * matched masks at the points where they are least certain, for every layer. An image without targets asks for "no
 * object" alone. Can be recorded for gradients.
 * @throws when the targets or the matching do not fit the output
 * @source Cheng et al. 2022, arXiv 2112.01527; transformers Mask2FormerLoss; golden/mask2former/criterion */
export function mask2FormerLoss(
  output: Mask2FormerOutput,
  targets: readonly MaskTargets[],
  matching: Matching,
  options: CriterionOptions,
): Mask2FormerLoss {
  const o = resolveOptions(options);
  const layers = layersOf(output, targets, matching);
  return tidied(() => {
    const judged = layers.map((layer) => judgeLayer(layer, targets, o));
    const total = judged.map((each) => each.total).reduce((a, b) => add(a, b));
    return { total, layers: judged.map(({ terms }) => terms) };
  });
}
