import { anything, checkOptions, finite, type OptionRules, whole } from '@rass/kernels/options';
import { checkLabels, checkMergeable, IGNORE_LABEL, type LabelMap, type LabelRules, meanOf } from '../labels.ts';

const BOUNDARY_RULES_RULES: OptionRules<BoundaryRules> = { classes: whole(1), ignore: finite, dilation: anything };

export interface BoundaryRules extends LabelRules {
  /** How wide the boundary is, as a share of the image's diagonal; default 0.02. @source arXiv 2103.16562 */
  readonly dilation?: number;
}

const DILATION = 0.02;

/** How many pixels the boundary is wide, at least one. */
export function boundaryWidth({ width, height }: LabelMap, dilation = DILATION): number {
  return Math.max(1, Math.round(dilation * Math.hypot(width, height)));
}

/** For each pixel how far it is along one line to the next pixel of another label, at most `most`; the end of the line counts as one. */
function runsAlong(
  data: ArrayLike<number>,
  start: number,
  step: number,
  count: number,
  most: number,
  near: Int32Array,
): void {
  let since = 0;
  for (let i = 0; i < count; i++) {
    const at = start + i * step;
    since = i > 0 && data[at] === data[at - step] ? Math.min(most, since + 1) : 1;
    near[at] = since;
  }
  since = 0;
  for (let i = count - 1; i >= 0; i--) {
    const at = start + i * step;
    since = i < count - 1 && data[at] === data[at + step] ? Math.min(most, since + 1) : 1;
    near[at] = Math.min(near[at], since);
  }
}

/** 1 where a pixel of another label, or the edge of the image, is at most `reach` rows and columns away: what erosion by so many
 * steps of 3 x 3 takes off each label's region. */
export function boundaryOf({ width, height, data }: LabelMap, reach: number): Uint8Array {
  // How far each pixel's column is of one label up and down, and then the least of it over the row's neighbours of the same label.
  const vertical = new Int32Array(data.length);
  for (let x = 0; x < width; x++) runsAlong(data, x, width, height, reach + 1, vertical);
  const horizontal = new Int32Array(data.length);
  for (let y = 0; y < height; y++) runsAlong(data, y * width, 1, width, reach + 1, horizontal);
  const boundary = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      let isBoundary = horizontal[at] <= reach;
      for (let dx = -reach; !isBoundary && dx <= reach; dx++) isBoundary = vertical[at + dx] <= reach;
      if (isBoundary) boundary[at] = 1;
    }
  }
  return boundary;
}

/** Scores at boundaries; NaN for a class that neither has one of. */
export interface BoundaryScores {
  readonly mean: number;
  readonly perClass: readonly number[];
}

/** IoU of the bands along the edges of each class's regions, over any number of images. */
export class BoundaryIou {
  readonly classes: number;
  readonly ignore: number;
  readonly dilation: number;
  /** Pixels of both bands, of the truth's, of the prediction's, by class. */
  readonly both: Float64Array;
  readonly truths: Float64Array;
  readonly predictions: Float64Array;

  constructor(options: BoundaryRules) {
    checkOptions('BoundaryIou', options, BOUNDARY_RULES_RULES);
    const { classes, ignore = IGNORE_LABEL, dilation = DILATION } = options;
    if (!(dilation > 0 && dilation < 1)) {
      throw new Error(`BoundaryIou: the dilation is a share of the diagonal, in (0, 1); got ${dilation}; give 0.02`);
    }
    this.classes = classes;
    this.ignore = ignore;
    this.dilation = dilation;
    [this.both, this.truths, this.predictions] = [0, 1, 2].map(() => new Float64Array(classes));
  }

  /** Counts an image. @throws when sizes differ or a label is no class; then nothing is counted */
  add(prediction: LabelMap, truth: LabelMap): this {
    checkLabels('BoundaryIou', prediction, truth, this);
    const reach = boundaryWidth(truth, this.dilation);
    const [ofTruth, ofPrediction] = [boundaryOf(truth, reach), boundaryOf(prediction, reach)];
    for (let i = 0; i < truth.data.length; i++) {
      const [label, guess] = [truth.data[i], prediction.data[i]];
      if (label === this.ignore) continue;
      if (ofTruth[i]) this.truths[label]++;
      if (ofPrediction[i]) this.predictions[guess]++;
      if (ofTruth[i] && ofPrediction[i] && label === guess) this.both[label]++;
    }
    return this;
  }

  /** @throws when the other has other classes or another width */
  merge(other: BoundaryIou): this {
    const rules = ({ classes, ignore, dilation }: BoundaryIou) => ({ classes, ignore, dilation });
    checkMergeable('BoundaryIou', rules(this), rules(other));
    for (const name of ['both', 'truths', 'predictions'] as const) {
      for (let i = 0; i < this.classes; i++) this[name][i] += other[name][i];
    }
    return this;
  }

  /** @source Cheng et al., arXiv 2103.16562 */
  scores(): BoundaryScores {
    const perClass = Array.from(this.both, (both, i) => both / (this.truths[i] + this.predictions[i] - both));
    return { mean: meanOf(perClass), perClass };
  }
}
