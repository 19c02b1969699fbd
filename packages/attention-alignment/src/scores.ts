import { checkOptions, finite, type OptionRules } from '@rass/kernels/options';
import type { LevelMaps, Size } from './maps.ts';
import { IGNORE_LABEL, type LabelMap } from './masks.ts';
import { resizeMap } from './pictures.ts';

/** One sample's maps, on the host. */
export interface HostMaps {
  readonly size: Size;
  /** [L, I] row by row: what LevelMaps' tensor gives for one sample */
  readonly values: ArrayLike<number>;
  /** How many tags of the I the sample has. */
  readonly tags: number;
}

/** Maps of all samples, read to the host. `tags`: those of each sample. @shape maps [B, L, I] -> [L, I] each */
export async function readMaps(
  { size, maps }: Pick<LevelMaps, 'size' | 'maps'>,
  tags: readonly (readonly unknown[])[],
): Promise<HostMaps[]> {
  const [B, L, I] = maps.shape;
  if (tags.length !== B) {
    throw new Error(
      `attention-alignment: each sample has tags; got ${tags.length} lists for ${B} samples; give one each`,
    );
  }
  const values = await maps.data();
  return tags.map((each, b) => ({ size, values: values.slice(b * L * I, (b + 1) * L * I), tags: each.length }));
}

/** The map of one tag. @shape [L, I] -> [L] */
export function tagValues({ size, values }: HostMaps, tag: number): Float32Array {
  const cells = size[0] * size[1];
  const width = values.length / cells;
  return Float32Array.from({ length: cells }, (_, cell) => values[cell * width + tag]);
}

/** The tag that has most of each pixel's attention, at the size of a label map, as labels by the tags' classes. */
export function segmentByAttention(maps: HostMaps, classes: readonly number[], size: Size): LabelMap {
  const upsampled = Array.from({ length: maps.tags }, (_, i) => resizeMap(tagValues(maps, i), maps.size, size));
  const labels = new Int32Array(size[0] * size[1]);
  for (let pixel = 0; pixel < labels.length; pixel++) {
    let best = 0;
    for (let i = 1; i < upsampled.length; i++) if (upsampled[i][pixel] > upsampled[best][pixel]) best = i;
    labels[pixel] = classes[best];
  }
  return { size, labels };
}

export interface AttentionIou {
  /** By class, for those that either the labels or the attention has somewhere. */
  readonly perClass: Readonly<Record<number, number>>;
  /** NaN where there is nothing to score. */
  readonly mean: number;
}

function checkClasses(maps: HostMaps, classes: readonly number[]): void {
  if (classes.length === maps.tags && maps.tags >= 1) return;
  throw new Error(
    `attention-alignment: each tag has a class; got ${maps.tags} tags and ${classes.length} classes; give them in one order`,
  );
}

/** `covers` says whether the attention gives a pixel to a class. */
function score(
  classes: readonly number[],
  { labels }: LabelMap,
  ignore: number,
  covers: (label: number, pixel: number) => boolean,
): AttentionIou {
  const perClass: Record<number, number> = {};
  for (const label of new Set(classes)) {
    let [both, either] = [0, 0];
    for (let pixel = 0; pixel < labels.length; pixel++) {
      if (labels[pixel] === ignore) continue;
      const [inMask, inMap] = [labels[pixel] === label, covers(label, pixel)];
      if (inMask && inMap) both++;
      if (inMask || inMap) either++;
    }
    if (either > 0) perClass[label] = both / either;
  }
  const all = Object.values(perClass);
  return { perClass, mean: all.length === 0 ? Number.NaN : all.reduce((a, b) => a + b, 0) / all.length };
}

const ATTENTION_IOU_RULES: OptionRules<{ readonly ignore?: number }> = { ignore: finite };

/** Intersection over union of what attention names each pixel with the labels, ignored pixels left out.
 * @throws when the tags and the classes are not as many */
export function attentionIou(
  maps: HostMaps,
  classes: readonly number[],
  labels: LabelMap,
  options: { readonly ignore?: number } = {},
): AttentionIou {
  checkOptions('attentionIou', options, ATTENTION_IOU_RULES);
  const { ignore = IGNORE_LABEL } = options;
  checkClasses(maps, classes);
  const found = segmentByAttention(maps, classes, labels.size).labels;
  return score(classes, labels, ignore, (label, pixel) => found[pixel] === label);
}

const THRESHOLD_IOU_RULES: OptionRules<{ readonly threshold?: number; readonly ignore?: number }> = {
  threshold: finite,
  ignore: finite,
};

/** Intersection over union of each tag's own map, cut at a share of its largest value, with its mask: what a tag covers, whatever the
 * others do. Tags of one class cover together. @throws when the tags and the classes are not as many @source DAAM, arXiv 2210.04885 */
export function thresholdIou(
  maps: HostMaps,
  classes: readonly number[],
  labels: LabelMap,
  options: { readonly threshold?: number; readonly ignore?: number } = {},
): AttentionIou {
  checkOptions('thresholdIou', options, THRESHOLD_IOU_RULES);
  const { threshold = 0.5, ignore = IGNORE_LABEL } = options;
  checkClasses(maps, classes);
  const covered = classes.map((label, i) => {
    const values = resizeMap(tagValues(maps, i), maps.size, labels.size);
    const bound = threshold * values.reduce((a, b) => Math.max(a, b), 0);
    // A map of nothing covers nothing.
    return { label, pixels: values.map((value) => Number(value > 0 && value >= bound)) };
  });
  return score(classes, labels, ignore, (label, pixel) =>
    covered.some((each) => each.label === label && each.pixels[pixel] === 1),
  );
}
