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
  softplus,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  tensor,
  tensor1d,
  tensor3d,
  topk,
} from '@tensorflow/tfjs-core';
import type { Mask2FormerOutput, Prediction } from '../outputs.ts';
import { tidied } from '../tidied.ts';
import { checkTargets, type ImageMatching, type Matching, predictionsOf } from './match.ts';
import { type CriterionOptions, type ResolvedOptions, resolveOptions } from './options.ts';
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

interface Layer {
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

/** The masks of all matched pairs, image by image. @shape [R, H, W] both */
function matchedMasks(
  { prediction, matches }: Layer,
  targets: readonly MaskTargets[],
): { logits: Tensor3D; truth: Tensor3D } {
  const [B, Q, H, W] = prediction.masksQueriesLogits.shape;
  const rows = matches.flatMap(({ queries }, image) => Array.from(queries, (query) => image * Q + query));
  const chosen = matches.flatMap(({ targets: wanted }, image) =>
    wanted.length === 0 ? [] : [gather(targets[image].masks, tensor1d(wanted, 'int32'))],
  );
  return {
    logits: gather(reshape(prediction.masksQueriesLogits, [B * Q, H, W]) as Tensor3D, tensor1d(rows, 'int32')),
    truth: chosen.length === 1 ? chosen[0] : concat(chosen, 0),
  };
}

/** The two losses of the matched masks, at points. */
function maskLosses(
  layer: Layer,
  targets: readonly MaskTargets[],
  masks: number,
  o: ResolvedOptions,
): Omit<LayerLoss<Scalar>, 'crossEntropy'> {
  if (layer.matches.every(({ queries }) => queries.length === 0)) return { mask: scalar(0), dice: scalar(0) };
  const { logits, truth } = matchedMasks(layer, targets);
  const points = detached(() => choosePoints(logits, layer.index, o));
  const truth_RP: Tensor2D = detached(() => samplePoints(truth, points));
  const logits_RP = samplePoints(logits, points);
  const entropy = sub(softplus(logits_RP), mul(logits_RP, truth_RP));
  const shares = sigmoid(logits_RP);
  const overlap = add(mul(2, sum(mul(shares, truth_RP), 1)), 1);
  const areas = add(add(sum(shares, 1), sum(truth_RP, 1)), 1);
  return {
    mask: div(sum(mean(entropy, 1)), masks),
    dice: div(sum(sub(1, div(overlap, areas))), masks),
  };
}

/** The criterion, given the matching: cross entropy of the classes, and binary cross entropy and dice loss of the matched masks at the points
 * where they are least certain, for every layer. An image without targets asks for "no object" alone. Can be recorded for gradients.
 * @throws when the targets or the matching do not fit the output
 * @source Cheng et al. 2022, arXiv 2112.01527; transformers Mask2FormerLoss; golden/mask2former/criterion */
export function mask2FormerLoss(
  output: Mask2FormerOutput,
  targets: readonly MaskTargets[],
  matching: Matching,
  options: CriterionOptions,
): Mask2FormerLoss {
  const o = resolveOptions(options);
  checkTargets(output, targets);
  const predictions = predictionsOf(output);
  if (matching.layers.length !== predictions.length) {
    throw new Error(
      `mask2Former criterion: a matching has a layer for each prediction, ${predictions.length}; got ${matching.layers.length}; match this output`,
    );
  }
  const masks =
    o.numMasks ??
    Math.max(
      1,
      targets.reduce((total, { classes }) => total + classes.length, 0),
    );
  return tidied(() => {
    const layers = predictions.map((prediction, index) => {
      const layer = { index, prediction, matches: matching.layers[index], skipped: matching.skipped };
      return { crossEntropy: crossEntropy(layer, targets, o), ...maskLosses(layer, targets, masks, o) };
    });
    const weighted = layers.map(({ crossEntropy: classes, mask, dice }) =>
      add(add(mul(o.classWeight, classes), mul(o.maskWeight, mask)), mul(o.diceWeight, dice)),
    );
    return { total: weighted.reduce((a, b) => add(a, b)) as Scalar, layers };
  });
}
