import type { Prediction } from '../outputs.ts';
import type { Matching } from './matching.ts';
import { refuse } from './refuse.ts';
import type { MaskTargets } from './targets.ts';

/** @throws when a layer's tensors do not fit each other, or those of the layers before it */
function checkPredictions(predictions: readonly Prediction[]): void {
  const [first] = predictions;
  for (const [layer, { classQueriesLogits, masksQueriesLogits }] of predictions.entries()) {
    const [classes, masks] = [classQueriesLogits.shape, masksQueriesLogits.shape];
    if (classes.length !== 3 || masks.length !== 4 || `${classes.slice(0, 2)}` !== `${masks.slice(0, 2)}`) {
      const rule = 'a layer has classes [B, Q, V + 1] and masks [B, Q, H, W]';
      refuse(rule, `[${classes}] and [${masks}] of layer ${layer}`, 'take them from one output');
    }
    if (
      `${classes}` !== `${first.classQueriesLogits.shape}` ||
      `${masks.slice(0, 2)}` !== `${first.masksQueriesLogits.shape.slice(0, 2)}`
    ) {
      const got = `[${classes}] of layer ${layer} after [${first.classQueriesLogits.shape}]`;
      refuse('all layers have the same images, queries and classes', got, 'take them from one output');
    }
  }
  const labels = first.classQueriesLogits.shape[2];
  if (labels < 2) refuse('logits are of a class or more and of "no object"', labels, 'see Mask2FormerOutput');
}

function checkTarget({ classes, masks }: MaskTargets, image: number, labels: number): void {
  if (masks.rank !== 3 || masks.shape[0] !== classes.length) {
    const got = `${classes.length} classes and masks [${masks.shape}] of image ${image}`;
    refuse('targets are classes, N of them, and masks [N, H, W]', got, 'give each mask a class');
  }
  if (masks.dtype !== 'float32') {
    refuse("targets' masks are float32, 0 or 1", `${masks.dtype} of image ${image}`, 'cast them');
  }
  const wrong = classes.find((label) => !Number.isInteger(label) || label < 0 || label >= labels - 1);
  if (wrong !== undefined) {
    refuse(`classes are from 0 to ${labels - 2}`, `${wrong} of image ${image}`, 'correct the labels');
  }
}

/** @throws when the predictions do not fit each other, or the targets do not fit them */
export function checkInputs(predictions: readonly Prediction[], targets: readonly MaskTargets[]): void {
  checkPredictions(predictions);
  const [batch, , labels] = predictions[0].classQueriesLogits.shape;
  if (targets.length !== batch) {
    refuse(`each of the ${batch} images has targets`, `${targets.length} of them`, 'give one for each');
  }
  for (const [image, each] of targets.entries()) checkTarget(each, image, labels);
}

/** @throws when a matching is of another output */
export function checkMatching({ layers }: Matching, predictions: readonly Prediction[]): void {
  const batch = predictions[0].classQueriesLogits.shape[0];
  if (layers.length !== predictions.length) {
    const rule = `a matching has a layer for each prediction, ${predictions.length}`;
    refuse(rule, layers.length, 'match this output');
  }
  const images = layers.find((ofLayer) => ofLayer.length !== batch)?.length;
  if (images !== undefined) refuse(`a matching's layers have an image each of ${batch}`, images, 'match this output');
}
