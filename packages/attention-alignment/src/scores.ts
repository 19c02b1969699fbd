import type { Size } from './maps.ts';
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
  /** By class, for those that the label map has. */
  readonly perClass: Readonly<Record<number, number>>;
  readonly mean: number;
}

function iouOf(counts: ReadonlyMap<number, { both: number; either: number }>): AttentionIou {
  const perClass = Object.fromEntries(
    [...counts].map(([label, { both, either }]) => [label, either === 0 ? 0 : both / either]),
  );
  const all = Object.values(perClass);
  return { perClass, mean: all.length === 0 ? Number.NaN : all.reduce((a, b) => a + b, 0) / all.length };
}

/** Intersection over union of what attention names each pixel with the labels, ignored pixels left out; NaN where there is nothing to
 * score. @throws when the maps and the classes are not as many */
export function attentionIou(
  maps: HostMaps,
  classes: readonly number[],
  labels: LabelMap,
  ignore = IGNORE_LABEL,
): AttentionIou {
  if (classes.length !== maps.tags || maps.tags < 1) {
    throw new Error(
      `attention-alignment: each tag has a class; got ${maps.tags} tags and ${classes.length} classes; give them in one order`,
    );
  }
  const found = segmentByAttention(maps, classes, labels.size);
  const counts = new Map(classes.map((label) => [label, { both: 0, either: 0 }]));
  for (let i = 0; i < found.labels.length; i++) {
    const [truth, guess] = [labels.labels[i], found.labels[i]];
    if (truth === ignore) continue;
    for (const [label, count] of counts) {
      const [a, b] = [truth === label, guess === label];
      if (a && b) count.both++;
      if (a || b) count.either++;
    }
  }
  return iouOf(counts);
}

/** Intersection over union of each tag's own map, cut at a share of its largest value, with its mask: what a tag covers, whatever the
 * others do. @source DAAM, arXiv 2210.04885 */
export function thresholdIou(
  maps: HostMaps,
  classes: readonly number[],
  labels: LabelMap,
  threshold = 0.5,
  ignore = IGNORE_LABEL,
): AttentionIou {
  const counts = new Map<number, { both: number; either: number }>();
  classes.forEach((label, i) => {
    const values = resizeMap(tagValues(maps, i), maps.size, labels.size);
    const bound = threshold * values.reduce((a, b) => Math.max(a, b), 0);
    const count = { both: 0, either: 0 };
    for (let pixel = 0; pixel < values.length; pixel++) {
      if (labels.labels[pixel] === ignore) continue;
      const [inMask, inMap] = [labels.labels[pixel] === label, values[pixel] >= bound];
      if (inMask && inMap) count.both++;
      if (inMask || inMap) count.either++;
    }
    counts.set(label, count);
  });
  return iouOf(counts);
}
