import { checkOptions, finite, type OptionRules, whole } from '@rass/kernels/options';
import { type Tensor3D, tensor3d } from '@tensorflow/tfjs-core';

/** What an image should be segmented into. */
export interface MaskTargets {
  /** Of each mask, in [0, V) */
  readonly classes: readonly number[];
  /** [N, H, W], 0 or 1 */
  readonly masks: Tensor3D;
}

/** A label of each pixel, row by row. */
export interface LabelMap {
  readonly data: ArrayLike<number>;
  readonly height: number;
  readonly width: number;
}

/** One segment of a panoptic or instance map. */
export interface Segment {
  /** Its number in the map. */
  readonly id: number;
  readonly class: number;
}

/** What the numbers of a label map mean. */
export interface TargetRules {
  /** How many classes there are: 0 to one below. */
  readonly classes: number;
  /** The label of ignored pixels, 255 unless given. */
  readonly ignore?: number;
}

/** Pixels of this label belong to no mask. @source detectron2, ADE20K */
export const IGNORE_LABEL = 255;

function checkSize(where: string, { data, height, width }: LabelMap): void {
  if (data.length === height * width && data.length > 0) return;
  throw new Error(
    `${where}: a label map has height x width labels, at least one; got ${data.length} for ${height} x ${width}; give each pixel one`,
  );
}

function refuseLabel(where: string, rule: string, { data, width }: LabelMap, at: number, remedy: string): never {
  const place = `row ${Math.floor(at / width)}, column ${at % width}`;
  throw new Error(`${where}: ${rule}; got ${data[at]} at ${place}; ${remedy}`);
}

/** One mask for each of the given labels. */
function masksOf({ data, height, width }: LabelMap, wanted: readonly number[]): Tensor3D {
  const positions = new Map(wanted.map((label, i) => [label, i]));
  const masks = new Float32Array(wanted.length * data.length);
  for (let i = 0; i < data.length; i++) {
    const position = positions.get(data[i]);
    if (position !== undefined) masks[position * data.length + i] = 1;
  }
  return tensor3d(masks, [wanted.length, height, width]);
}

const TARGET_RULES_RULES: OptionRules<TargetRules> = { classes: whole(1), ignore: finite };

/** The targets of semantic segmentation: one mask for each class that is there, in ascending order. An image of nothing
 * but ignored pixels has none. The masks are the caller's to dispose of.
 * @throws when a label is neither a class nor `ignore` @source detectron2 MaskFormerSemanticDatasetMapper */
export function semanticTargets(map: LabelMap, options: TargetRules): MaskTargets {
  checkOptions('semanticTargets', options, TARGET_RULES_RULES);
  const { classes, ignore = IGNORE_LABEL } = options;
  checkSize('semanticTargets', map);
  const there = new Set<number>();
  for (let i = 0; i < map.data.length; i++) {
    const label = map.data[i];
    if (label === ignore) continue;
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      const rule = `labels are classes from 0 to ${classes - 1}, or ${ignore} for ignored pixels`;
      refuseLabel('semanticTargets', rule, map, i, 'map the labels first, as ADE20K from 1..150 to 0..149');
    }
    there.add(label);
  }
  const found = [...there].sort((a, b) => a - b);
  return { classes: found, masks: masksOf(map, found) };
}

function checkSegments(segments: readonly Segment[], classes: number, ignore: number): void {
  const seen = new Set<number>();
  for (const { id, class: label } of segments) {
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new Error(
        `segmentTargets: classes are from 0 to ${classes - 1}; got ${label} of segment ${id}; correct the segments`,
      );
    }
    if (id === ignore || seen.has(id)) {
      const got = id === ignore ? `${id}, which stands for ignored pixels` : `${id} twice`;
      throw new Error(`segmentTargets: every segment has a number of its own; got ${got}; give another one`);
    }
    seen.add(id);
  }
}

/** The targets of instance or panoptic segmentation: one mask for each segment that has a pixel, in the segments'
 * order; pixels of `ignore` belong to none. The masks are the caller's to dispose of.
 * @throws when a pixel's segment is not listed, a class is out of range, or a segment's number is taken */
export function segmentTargets(map: LabelMap, segments: readonly Segment[], options: TargetRules): MaskTargets {
  checkOptions('segmentTargets', options, TARGET_RULES_RULES);
  const { classes, ignore = IGNORE_LABEL } = options;
  checkSize('segmentTargets', map);
  checkSegments(segments, classes, ignore);
  const listed = new Set(segments.map(({ id }) => id));
  const there = new Set<number>();
  for (let i = 0; i < map.data.length; i++) {
    const label = map.data[i];
    if (label === ignore) continue;
    if (!listed.has(label)) {
      const rule = `every pixel is of a listed segment, or ${ignore} for ignored pixels`;
      refuseLabel('segmentTargets', rule, map, i, 'list that segment');
    }
    there.add(label);
  }
  const found = segments.filter(({ id }) => there.has(id));
  return {
    classes: found.map((segment) => segment.class),
    masks: masksOf(
      map,
      found.map(({ id }) => id),
    ),
  };
}
