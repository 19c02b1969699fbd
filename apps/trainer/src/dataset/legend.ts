import type { DatasetClass } from '@rass/datasets';
import type { LabelMap } from '@rass/images';
import { classAreas } from '@rass/pipeline';
import type { LegendEntry } from '../training/task.ts';

/** The colours of a label map's picture with what they stand for, the largest first. */
export const legendOf = (labels: LabelMap, classes: readonly DatasetClass[]): LegendEntry[] =>
  classAreas(labels, classes).map(({ label, name, share }) => ({ name, colour: classes[label]!.colour, share }));
