import {
  add,
  cast,
  div,
  isFinite as isFiniteTensor,
  logicalNot,
  matMul,
  mul,
  neg,
  reshape,
  sigmoid,
  slice,
  softmax,
  softplus,
  stack,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import type { Mask2FormerOutput, Prediction } from '../outputs.ts';
import { linearSumAssignment } from './assignment.ts';
import { type CriterionOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { sampleSamePoints } from './points.ts';
import type { MaskTargets } from './targets.ts';

/** Which queries stand for which targets of an image: pair i is queries[i] and targets[i]. */
export interface ImageMatching {
  readonly queries: Int32Array;
  readonly targets: Int32Array;
}

/** The matching of a batch, of each layer by itself. */
export interface Matching {
  /** Of the auxiliary layers in order and then of the last, for each image. */
  readonly layers: readonly (readonly ImageMatching[])[];
  /** Images that were left out for logits that are not finite. */
  readonly skipped: readonly number[];
}

/** Every layer's prediction, the last one's at the end. */
export const predictionsOf = ({
  auxiliary,
  classQueriesLogits,
  masksQueriesLogits,
}: Mask2FormerOutput): Prediction[] => [...auxiliary, { classQueriesLogits, masksQueriesLogits }];

function refuse(rule: string, got: string, remedy: string): never {
  throw new Error(`mask2Former criterion: ${rule}; got ${got}; ${remedy}`);
}

/** @throws when the targets do not fit the predictions */
export function checkTargets(output: Mask2FormerOutput, targets: readonly MaskTargets[]): void {
  const [batch, , labels] = output.classQueriesLogits.shape;
  if (targets.length !== batch) {
    refuse(`each of the ${batch} images has targets`, `${targets.length} of them`, 'give one for each');
  }
  const size = targets[0].masks.shape.slice(1);
  for (const [image, { classes, masks }] of targets.entries()) {
    if (masks.rank !== 3 || masks.shape[0] !== classes.length) {
      const got = `${classes.length} classes and masks [${masks.shape}] of image ${image}`;
      refuse('targets are classes, N of them, and masks [N, H, W]', got, 'give each mask a class');
    }
    if (`${masks.shape.slice(1)}` !== `${size}`) {
      const got = `[${masks.shape.slice(1)}] of image ${image} after [${size}]`;
      refuse("all images' masks have one size", got, 'pad images and masks to the same size');
    }
    const wrong = classes.find((label) => !Number.isInteger(label) || label < 0 || label >= labels - 1);
    if (wrong !== undefined) {
      refuse(`classes are from 0 to ${labels - 2}`, `${wrong} of image ${image}`, 'correct the labels');
    }
  }
}

/** How many of each image's logits are not finite. @shape [2, B]: classes, masks */
function countNonFinite({ classQueriesLogits, masksQueriesLogits }: Prediction): Tensor {
  const count = (x: Tensor): Tensor => {
    const wrong = cast(logicalNot(isFiniteTensor(x)), 'float32');
    return sum(reshape(wrong, [x.shape[0], x.size / x.shape[0]]), 1);
  };
  return stack([count(classQueriesLogits), count(masksQueriesLogits)]);
}

/** The images with logits that are not finite. @throws at the first of them, naming it, unless such images are skipped */
async function nonFiniteImages(layers: readonly Prediction[], { nonFinite }: ResolvedOptions): Promise<number[]> {
  const counts = tidy(() => stack(layers.map(countNonFinite)));
  const values = await counts.data();
  counts.dispose();
  const batch = layers[0].classQueriesLogits.shape[0];
  const skipped = new Set<number>();
  for (let i = 0; i < values.length; i++) {
    if (values[i] === 0) continue;
    const image = i % batch;
    if (nonFinite === 'throw') {
      const layer = Math.floor(i / batch / 2);
      const name = Math.floor(i / batch) % 2 === 0 ? 'classQueriesLogits' : 'masksQueriesLogits';
      refuse(
        'logits are finite',
        `${values[i]} that are not in ${name} of image ${image}, layer ${layer} of ${layers.length}`,
        "lower the learning rate, or leave such images out by nonFinite: 'skip'",
      );
    }
    skipped.add(image);
  }
  return [...skipped].sort((a, b) => a - b);
}

/** A one in the row of each target's class. @shape [V + 1, N] */
function classColumns(classes: readonly number[], labels: number): Tensor2D {
  const values = new Float32Array(labels * classes.length);
  for (const [i, label] of classes.entries()) values[label * classes.length + i] = 1;
  return tensor2d(values, [labels, classes.length]);
}

/** What it costs each query to stand for each target. @shape [Q, N] @source transformers Mask2FormerHungarianMatcher */
function costMatrix(
  prediction: Prediction,
  image: number,
  targets: MaskTargets,
  points_P2: Tensor2D,
  o: ResolvedOptions,
): Tensor2D {
  return tidy(() => {
    const [, Q, H, W] = prediction.masksQueriesLogits.shape;
    const labels = prediction.classQueriesLogits.shape[2];
    const ofImage = slice(prediction.classQueriesLogits, [image, 0, 0], [1, Q, labels]);
    const masks = reshape(slice(prediction.masksQueriesLogits, [image, 0, 0, 0], [1, Q, H, W]), [Q, H, W]) as Tensor3D;
    const classCost = neg(matMul(softmax(reshape(ofImage, [Q, labels])), classColumns(targets.classes, labels)));
    const logits_QP = sampleSamePoints(masks, points_P2);
    const truth_NP = sampleSamePoints(targets.masks, points_P2);
    const P = points_P2.shape[0];
    // The cross entropy of logit x with truth t is softplus(x) - x t.
    const maskCost = div(sub(sum(softplus(logits_QP), 1, true), matMul(logits_QP, truth_NP, false, true)), P);
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

const NOTHING: ImageMatching = { queries: new Int32Array(0), targets: new Int32Array(0) };

/** Matches each layer's queries with the targets, one to one, at the least cost; more targets than queries leave some unmatched.
 * Reads the costs from the backend: call it outside of tidy and of gradients.
 * @throws when targets do not fit, or logits are not finite and `nonFinite` is `throw`
 * @source Cheng et al. 2022, arXiv 2112.01527; transformers Mask2FormerHungarianMatcher */
export async function matchPredictions(
  output: Mask2FormerOutput,
  targets: readonly MaskTargets[],
  options: CriterionOptions,
): Promise<Matching> {
  const o = resolveOptions(options);
  checkTargets(output, targets);
  const predictions = predictionsOf(output);
  const skipped = await nonFiniteImages(predictions, o);
  // All are asked for before the first is awaited: on a GPU the host would else wait for each.
  const costs = predictions.map((prediction, layer) =>
    targets.map((each, image) => {
      if (skipped.includes(image) || each.classes.length === 0) return undefined;
      const points = tensor2d(o.points.matching(layer, image, o.trainNumPoints), [o.trainNumPoints, 2]);
      const matrix = costMatrix(prediction, image, each, points, o);
      points.dispose();
      return matrix;
    }),
  );
  const layers: ImageMatching[][] = [];
  try {
    for (const ofLayer of costs) {
      layers.push(await Promise.all(ofLayer.map((matrix) => (matrix === undefined ? NOTHING : assign(matrix)))));
    }
  } finally {
    for (const matrix of costs.flat()) matrix?.dispose();
  }
  return { layers, skipped };
}

async function assign(costs_QN: Tensor2D): Promise<ImageMatching> {
  const [queries, targets] = costs_QN.shape;
  const { rows, columns } = linearSumAssignment(await costs_QN.data(), queries, targets);
  return { queries: rows, targets: columns };
}
