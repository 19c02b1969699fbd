import { type Golden, loadGolden } from '@rass/testkit';
import { dispose, type Tensor3D } from '@tensorflow/tfjs-core';
import type { Mask2FormerOutput } from '../outputs.ts';
import { outputOf, outputTensors } from './criterion.ts';
import type { PointSource } from './points.ts';
import type { MaskTargets } from './targets.ts';

/** What transformers' criterion was given, and the file of what it made of it. */
export interface CriterionCase {
  readonly golden: Golden;
  readonly output: Mask2FormerOutput;
  readonly targets: readonly MaskTargets[];
  /** The points that it drew. */
  readonly points: PointSource;
  readonly dispose: () => void;
}

export function criterionCase(name: string): CriterionCase {
  const golden = loadGolden(`mask2former/${name}`);
  const { layers, images } = golden.config as { layers: number; images: number };
  const tensors = Array.from({ length: layers }, (_, i) => [
    [`classQueriesLogits.${i}`, golden.tensor(`in/class_logits.${i}`)],
    [`masksQueriesLogits.${i}`, golden.tensor(`in/mask_logits.${i}`)],
  ]);
  const output = outputOf(Object.fromEntries(tensors.flat()));
  const targets = Array.from({ length: images }, (_, image) => ({
    classes: Array.from(golden.raw(`in/classes.${image}`).values),
    masks: golden.tensor(`in/masks.${image}`) as Tensor3D,
  }));
  const read = (key: string): Float32Array => golden.raw(`in/${key}`).values as Float32Array;
  return {
    golden,
    output,
    targets,
    points: {
      matching: (layer, image) => read(`matching.${layer}.${image}`),
      candidates: (layer) => read(`candidates.${layer}`),
      uniform: (layer) => read(`uniform.${layer}`),
    },
    dispose: () => dispose([outputTensors(output), targets.map(({ masks }) => masks)] as never),
  };
}
