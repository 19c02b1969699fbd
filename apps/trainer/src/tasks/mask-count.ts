import { IGNORE_LABEL, type LabelMap } from '@rass/images';

/** The classes that a label map has: its masks. */
function masksOf(labels: LabelMap | undefined): number {
  const there = new Set(labels?.data);
  there.delete(IGNORE_LABEL);
  return there.size;
}

/** How many masks a batch of an update has on average, at least 1: by it the criterion divides what it sums over masks, so that an image with many
 * masks weighs the same whichever batch or process it comes to.
 * @source Mask2Former SetCriterion: num_masks, summed over the processes, divided by their number, at least 1 */
export function meanMasks(parts: readonly (readonly { readonly labels?: LabelMap }[])[]): number {
  const masks = parts.flat().reduce((sum, { labels }) => sum + masksOf(labels), 0);
  return Math.max(1, masks / parts.length);
}
