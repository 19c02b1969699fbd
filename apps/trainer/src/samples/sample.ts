import type { LabelMap, RgbImage } from '@rass/images';

/** A sample as training sees it: cut to size, and degraded where the recipe says so. */
export interface Sample {
  /** Where it comes from, for people. */
  readonly id: string;
  readonly clean: RgbImage;
  /** The bad photograph; the clean one where nothing degrades it. */
  readonly degraded: RgbImage;
  readonly labels?: LabelMap;
}
