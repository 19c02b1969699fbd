import { type Tensor2D, tensor2d } from '@tensorflow/tfjs-core';
import type { Mask2FormerOutput, Prediction } from '../outputs.ts';
import { tidied } from '../tidied.ts';
import { linearSumAssignment } from './assignment.ts';
import { checkInputs } from './checks.ts';
import { costMatrix } from './costs.ts';
import { type Costs, costsAreFinite, nonFiniteImages } from './finite.ts';
import type { ImageMatching, Matching } from './matching.ts';
import { type CriterionOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { paddedSizeOf } from './padding.ts';
import type { MaskTargets } from './targets.ts';

/** Every layer's prediction, the last one's at the end. */
export const predictionsOf = ({
  auxiliary,
  classQueriesLogits,
  masksQueriesLogits,
}: Mask2FormerOutput): Prediction[] => [...auxiliary, { classQueriesLogits, masksQueriesLogits }];

const NOTHING: ImageMatching = { queries: new Int32Array(0), targets: new Int32Array(0) };

/** The costs of all layers and images that have any. They are all asked for before the first is awaited: on a GPU
 * the host would else wait for each. */
async function readCosts(
  predictions: readonly Prediction[],
  targets: readonly MaskTargets[],
  skipped: ReadonlySet<number>,
  o: ResolvedOptions,
): Promise<Costs[]> {
  const size = paddedSizeOf(targets, o.paddedSize);
  const places = predictions.flatMap((_, layer) => targets.map((__, image) => ({ layer, image })));
  const wanted = places.filter(({ image }) => !skipped.has(image) && targets[image].classes.length > 0);
  const matrices = tidied(() =>
    wanted.map(({ layer, image }): Tensor2D => {
      const points = tensor2d(o.points.matching(layer, image, o.trainNumPoints), [o.trainNumPoints, 2]);
      const matrix = costMatrix({ prediction: predictions[layer], image, targets: targets[image], points, size }, o);
      points.dispose();
      return matrix;
    }),
  );
  try {
    const values = await Promise.all(matrices.map((matrix) => matrix.data()));
    return wanted.map((place, i) => ({ ...place, values: values[i], shape: matrices[i].shape }));
  } finally {
    for (const matrix of matrices) matrix.dispose();
  }
}

/** Matches each layer's queries with the targets, one to one, at the least cost; more targets than queries leave some
 * unmatched. Reads the costs from the backend: call it outside of tidy and of gradients.
 * @throws when targets do not fit, or something is not finite and `nonFinite` is `throw`
 * @source Cheng et al. 2022, arXiv 2112.01527; transformers Mask2FormerHungarianMatcher */
export async function matchPredictions(
  output: Mask2FormerOutput,
  targets: readonly MaskTargets[],
  options: CriterionOptions,
): Promise<Matching> {
  const o = resolveOptions(options);
  const predictions = predictionsOf(output);
  checkInputs(predictions, targets);
  const skipped = await nonFiniteImages(predictions, targets, o);
  const costs = await readCosts(predictions, targets, skipped, o);
  for (const each of costs) if (!costsAreFinite(each, o)) skipped.add(each.image);
  const layers = predictions.map(() => targets.map(() => NOTHING));
  for (const { values, shape, layer, image } of costs) {
    if (skipped.has(image)) continue;
    const { rows, columns } = linearSumAssignment(values, ...shape);
    layers[layer][image] = { queries: rows, targets: columns };
  }
  return { layers, skipped: [...skipped].sort((a, b) => a - b) };
}
