import type { LabelMap } from '../criterion/targets.ts';

/** A number for each pixel, row by row: of a class, or of a segment. */
export interface SegmentationMap extends LabelMap {
  readonly data: Int32Array<ArrayBuffer>;
}

/** What a segment of a map is, as Hugging Face's segments_info has it. */
export interface SegmentInfo {
  /** The number of its pixels in the map. */
  readonly id: number;
  readonly labelId: number;
  /** Whether segments of this class are joined to one. */
  readonly wasFused: boolean;
  /** From 0 to 1, rounded to six digits. */
  readonly score: number;
}

/** Height and width in pixels. */
export type TargetSize = readonly [height: number, width: number];

export function emptyMap([height, width]: TargetSize, fill: number): SegmentationMap {
  return { data: new Int32Array(height * width).fill(fill), height, width };
}

const DIGITS = 6;

export const roundedScore = (score: number): number => Number(score.toFixed(DIGITS));
