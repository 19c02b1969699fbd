import { valueAndGradients } from '@rass/kernels';
import {
  dispose,
  keep,
  type Scalar,
  stack,
  type Tensor,
  type Tensor3D,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';
import type { Mask2FormerOutput, Prediction } from '../outputs.ts';
import { tidied } from '../tidied.ts';
import { judgeLayer, type Layer, type LayerLoss, layersOf } from './loss.ts';
import { matchPredictions, predictionsOf } from './match.ts';
import type { Matching } from './matching.ts';
import { type CriterionOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import type { MaskTargets } from './targets.ts';

/** An output's tensors by name, as forwardPass of @rass/kernels returns them: `classQueriesLogits.0`,
 * `masksQueriesLogits.0` and so on, the last layer at the end. */
export type OutputTensors = Record<string, Tensor>;

/** What the criterion makes of a batch. */
export interface CriterionResult {
  readonly loss: number;
  /** Of the auxiliary layers in order and then of the last, before their weights. */
  readonly layers: readonly LayerLoss<number>[];
  /** Of the loss by each of the output's tensors, by outputTensors' names; the caller's to dispose of. */
  readonly gradients: OutputTensors;
  readonly matching: Matching;
}

/** The tensors of an output by name, and outputOf's inverse. */
export function outputTensors(output: Mask2FormerOutput): OutputTensors {
  return Object.fromEntries(
    predictionsOf(output).flatMap(({ classQueriesLogits, masksQueriesLogits }, layer) => [
      [`classQueriesLogits.${layer}`, classQueriesLogits],
      [`masksQueriesLogits.${layer}`, masksQueriesLogits],
    ]),
  );
}

/** The output whose tensors these are. */
export function outputOf(tensors: OutputTensors): Mask2FormerOutput {
  const names = Object.keys(tensors);
  // One too many asks for a layer that is not there.
  const layers = Math.max(1, Math.ceil(names.length / 2));
  const predictions = Array.from({ length: layers }, (_, layer): Prediction => {
    const [classes, masks] = [tensors[`classQueriesLogits.${layer}`], tensors[`masksQueriesLogits.${layer}`]];
    if (classes === undefined || masks === undefined) {
      throw new Error(
        `mask2Former: an output's tensors are named by outputTensors; got ${names.join(', ') || 'none'}; give all of them`,
      );
    }
    return { classQueriesLogits: classes as Tensor3D, masksQueriesLogits: masks as Tensor4D };
  });
  return { ...predictions[layers - 1], auxiliary: predictions.slice(0, -1) };
}

/** One layer's losses, stacked with their weighted sum before them, and its gradients. */
function differentiateLayer(layer: Layer, targets: readonly MaskTargets[], o: ResolvedOptions) {
  const { classQueriesLogits, masksQueriesLogits } = layer.prediction;
  return tidy(() => {
    let terms: Scalar[] = [];
    const { value, gradients } = valueAndGradients(
      (logits) => {
        const { terms: found, total } = judgeLayer({ ...layer, prediction: logits }, targets, o);
        terms = [found.crossEntropy, found.mask, found.dice].map((term) => keep(term));
        return total;
      },
      { classQueriesLogits, masksQueriesLogits },
      { unconnected: 'zeros' },
    );
    const values = stack([value as Scalar, ...terms]);
    dispose(terms);
    return { values, gradients };
  });
}

/** Matches, judges and differentiates a batch: the loss, its terms, and its gradients by the logits, from which the
 * model's follow: `pass.gradients(result.gradients)` of a forwardPass. Call it outside of tidy and of gradients.
 * @throws when targets do not fit, or something is not finite and `nonFinite` is `throw` */
export async function mask2FormerCriterion(
  output: Mask2FormerOutput,
  targets: readonly MaskTargets[],
  options: CriterionOptions,
): Promise<CriterionResult> {
  const matching = await matchPredictions(output, targets, options);
  const o = resolveOptions(options);
  const { gradients, terms } = tidied(() => {
    // Layer by layer, as no layer's loss hangs on another's logits: only one is held for its gradients at a time.
    const judged = layersOf(output, targets, matching).map((layer) => differentiateLayer(layer, targets, o));
    const named = judged.flatMap(({ gradients: found }, layer) => [
      [`classQueriesLogits.${layer}`, found.classQueriesLogits],
      [`masksQueriesLogits.${layer}`, found.masksQueriesLogits],
    ]);
    return { gradients: Object.fromEntries(named) as OutputTensors, terms: stack(judged.map(({ values }) => values)) };
  });
  const values = await terms.data();
  terms.dispose();
  const layers = matching.layers.map((_, i) => {
    const [, crossEntropy, mask, dice] = values.subarray(4 * i, 4 * i + 4);
    return { crossEntropy, mask, dice };
  });
  const loss = layers.reduce((total, _, i) => total + values[4 * i], 0);
  return { loss, layers, gradients, matching };
}
