import {
  add,
  div,
  matMul,
  mul,
  neg,
  reshape,
  sigmoid,
  slice,
  softmax,
  softplus,
  sub,
  sum,
  type Tensor2D,
  type Tensor3D,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import type { TargetSize } from '../inference/segmentation.ts';
import type { Prediction } from '../outputs.ts';
import type { ResolvedOptions } from './options.ts';
import { pointsWithin } from './padding.ts';
import { sampleSamePoints } from './points.ts';
import type { MaskTargets } from './targets.ts';

/** A one in the row of each target's class. @shape [V + 1, N] */
function classColumns(classes: readonly number[], labels: number): Tensor2D {
  const values = new Float32Array(labels * classes.length);
  for (const [i, label] of classes.entries()) values[label * classes.length + i] = 1;
  return tensor2d(values, [labels, classes.length]);
}

/** Of one image in one layer. */
export interface CostInputs {
  readonly prediction: Prediction;
  readonly image: number;
  readonly targets: MaskTargets;
  /** [P, 2] */
  readonly points: Tensor2D;
  readonly size: TargetSize;
}

/** What it costs each query to stand for each target. @shape [Q, N]
 * @source transformers Mask2FormerHungarianMatcher; golden/mask2former/criterion */
export function costMatrix({ prediction, image, targets, points, size }: CostInputs, o: ResolvedOptions): Tensor2D {
  return tidy(() => {
    const [, Q, H, W] = prediction.masksQueriesLogits.shape;
    const labels = prediction.classQueriesLogits.shape[2];
    const ofImage = slice(prediction.classQueriesLogits, [image, 0, 0], [1, Q, labels]);
    const masks = reshape(slice(prediction.masksQueriesLogits, [image, 0, 0, 0], [1, Q, H, W]), [Q, H, W]) as Tensor3D;
    const classCost = neg(matMul(softmax(reshape(ofImage, [Q, labels])), classColumns(targets.classes, labels)));
    const logits_QP = sampleSamePoints(masks, points);
    const truth_NP = sampleSamePoints(targets.masks, pointsWithin(points, size, targets.masks));
    // The cross entropy of logit x with truth t is softplus(x) - x t.
    const entropy = sub(sum(softplus(logits_QP), 1, true), matMul(logits_QP, truth_NP, false, true));
    const maskCost = div(entropy, points.shape[0]);
    const shares_QP = sigmoid(logits_QP);
    const overlap = add(mul(2, matMul(shares_QP, truth_NP, false, true)), 1);
    const areas = add(add(sum(shares_QP, 1, true), reshape(sum(truth_NP, 1), [1, truth_NP.shape[0]])), 1);
    const diceCost = sub(1, div(overlap, areas));
    return add(
      add(mul(o.classWeight, classCost), mul(o.maskWeight, maskCost)),
      mul(o.diceWeight, diceCost),
    ) as Tensor2D;
  });
}
