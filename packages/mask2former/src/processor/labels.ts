import { nearestPositions } from '@rass/images';
import { tensor3d } from '@tensorflow/tfjs-core';
import type { LabelMap, MaskTargets } from '../criterion/targets.ts';
import type { TargetSize } from '../inference/segmentation.ts';
import type { Mask2FormerProcessorConfig } from './config.ts';

/** Classes of instances, by the instances' numbers. */
export type InstanceClasses = Readonly<Record<number, number>>;

/** The label of each pixel's nearest one. */
export function resizeLabels({ data, height, width }: LabelMap, [rows, columns]: TargetSize): LabelMap {
  const [down, across] = [nearestPositions(height, rows), nearestPositions(width, columns)];
  const out = new Int32Array(rows * columns);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) out[y * columns + x] = data[down[y] * width + across[x]];
  }
  return { data: out, height: rows, width: columns };
}

function reduced(label: number, { doReduceLabels, ignoreIndex }: Mask2FormerProcessorConfig): number {
  if (!doReduceLabels) return label;
  return label === 0 ? (ignoreIndex as number) : label - 1;
}

/** The class of a number in the map. Instances' classes are reduced too. @throws when an instance is not listed */
function classOf(label: number, config: Mask2FormerProcessorConfig, instances: InstanceClasses | undefined): number {
  if (instances === undefined) return label;
  const [instance, less] = config.doReduceLabels ? [label + 1, 1] : [label, 0];
  const found = instances[instance];
  if (found === undefined) {
    throw new Error(
      `preprocess: instanceIdToSemanticId has every instance of the map; got none for ${instance}; list it, or ignore it by ignoreIndex`,
    );
  }
  return found - less;
}

/** A mask of each label that is there, in ascending order, but for the ignored one; 0 in what the batch is padded with.
 * @throws when labels are to be reduced without a label to ignore, or an instance has no class
 * @source transformers 5.23 convert_segmentation_map_to_binary_masks */
export function labelTargets(
  { data, height, width }: LabelMap,
  [paddedHeight, paddedWidth]: TargetSize,
  config: Mask2FormerProcessorConfig,
  instances?: InstanceClasses,
): MaskTargets {
  if (config.doReduceLabels && config.ignoreIndex === undefined) {
    throw new Error('preprocess: doReduceLabels goes with ignoreIndex, which label 0 becomes; got none; 255 is usual');
  }
  const own = Int32Array.from({ length: data.length }, (_, i) => reduced(data[i], config));
  const there = [...new Set(own)].filter((label) => label !== config.ignoreIndex).sort((a, b) => a - b);
  const positions = new Map(there.map((label, i) => [label, i]));
  const masks = new Float32Array(there.length * paddedHeight * paddedWidth);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const position = positions.get(own[y * width + x]);
      if (position !== undefined) masks[(position * paddedHeight + y) * paddedWidth + x] = 1;
    }
  }
  return {
    classes: there.map((label) => classOf(label, config, instances)),
    masks: tensor3d(masks, [there.length, paddedHeight, paddedWidth]),
  };
}
