import { anything, checkOptions, finite, type OptionRules, oneOf } from '@rass/kernels/options';
import { checkLabels, checkMergeable, IGNORE_LABEL, type LabelMap, type LabelRules, meanOf } from '../labels.ts';

const SCORE_OPTIONS_RULES: OptionRules<ScoreOptions> = { predictedOnly: oneOf('counts', 'left out') };

const LABEL_RULES_RULES: OptionRules<LabelRules> = { classes: anything, ignore: finite };

/** Scores of one class; NaN where there is nothing to divide by. */
export interface ClassScores {
  /** Pixels that both say over those that either says. */
  readonly iou: number;
  /** Share of the class's pixels that were found: its recall. */
  readonly accuracy: number;
  /** Share of the pixels that were said to be of the class that are. */
  readonly precision: number;
  readonly dice: number;
  /** Pixels of the class in the truth. */
  readonly pixels: number;
}

export interface SegmentationScores {
  /** The mean IoU of the classes that count. */
  readonly miou: number;
  /** IoU weighted by the classes' pixels. */
  readonly fwiou: number;
  readonly meanAccuracy: number;
  readonly meanDice: number;
  readonly meanPrecision: number;
  /** Share of all pixels that are right. */
  readonly pixelAccuracy: number;
  readonly perClass: readonly ClassScores[];
}

export interface ScoreOptions {
  /** A class that only the prediction has counts as 0 (`counts`: mmsegmentation, torchmetrics), or not at all (`left out`: detectron2).
   * A class that neither has never counts. */
  predictedOnly?: 'counts' | 'left out';
}

/** How often each class was taken for each, over any number of images. Shards are counted apart and merged. */
export class ConfusionMatrix {
  readonly classes: number;
  readonly ignore: number;
  /** [truth, prediction], row by row */
  readonly counts: Float64Array;

  constructor(options: LabelRules) {
    checkOptions('ConfusionMatrix', options, LABEL_RULES_RULES);
    const { classes, ignore = IGNORE_LABEL } = options;
    if (!(Number.isInteger(classes) && classes >= 1)) {
      throw new Error(`ConfusionMatrix: there is a whole number of classes, 1 or more; got ${classes}; give it`);
    }
    this.classes = classes;
    this.ignore = ignore;
    this.counts = new Float64Array(classes * classes);
  }

  /** Counts an image. @throws when sizes differ or a label is no class; then nothing is counted */
  add(prediction: LabelMap, truth: LabelMap): this {
    checkLabels('ConfusionMatrix', prediction, truth, this);
    for (let i = 0; i < truth.data.length; i++) {
      if (truth.data[i] !== this.ignore) this.counts[truth.data[i] * this.classes + prediction.data[i]]++;
    }
    return this;
  }

  /** Adds what another one has counted. @throws when it has other classes */
  merge(other: ConfusionMatrix): this {
    const rules = ({ classes, ignore }: ConfusionMatrix) => ({ classes, ignore });
    checkMergeable('ConfusionMatrix', rules(this), rules(other));
    for (let i = 0; i < this.counts.length; i++) this.counts[i] += other.counts[i];
    return this;
  }

  toJSON(): { classes: number; ignore: number; counts: number[] } {
    return { classes: this.classes, ignore: this.ignore, counts: [...this.counts] };
  }

  /** @throws when the counts are not those of so many classes */
  static fromJSON({ counts, ...rules }: ReturnType<ConfusionMatrix['toJSON']>): ConfusionMatrix {
    const matrix = new ConfusionMatrix(rules);
    if (counts.length !== matrix.counts.length || !counts.every((count) => count >= 0)) {
      throw new Error(
        `ConfusionMatrix: ${rules.classes} classes have ${matrix.counts.length} counts, 0 or more; got ${counts.length}; the file is damaged`,
      );
    }
    matrix.counts.set(counts);
    return matrix;
  }

  /** @source mmsegmentation IoUMetric; detectron2 SemSegEvaluator; torchmetrics JaccardIndex */
  scores(options: ScoreOptions = {}): SegmentationScores {
    checkOptions('scores', options, SCORE_OPTIONS_RULES);
    const { predictedOnly = 'counts' } = options;
    const perClass = Array.from({ length: this.classes }, (_, label) => this.#classScores(label));
    const counted = predictedOnly === 'counts' ? perClass : perClass.filter(({ pixels }) => pixels > 0);
    const total = perClass.reduce((sum, { pixels }) => sum + pixels, 0);
    const right = perClass.reduce((sum, _, label) => sum + this.counts[label * this.classes + label], 0);
    const weighted = perClass.reduce((sum, { iou, pixels }) => sum + (pixels > 0 ? iou * pixels : 0), 0);
    return {
      miou: meanOf(counted.map(({ iou }) => iou)),
      fwiou: weighted / total,
      meanAccuracy: meanOf(counted.map(({ accuracy }) => accuracy)),
      meanDice: meanOf(counted.map(({ dice }) => dice)),
      meanPrecision: meanOf(counted.map(({ precision }) => precision)),
      pixelAccuracy: right / total,
      perClass,
    };
  }

  #classScores(label: number): ClassScores {
    let [pixels, said] = [0, 0];
    for (let other = 0; other < this.classes; other++) {
      pixels += this.counts[label * this.classes + other];
      said += this.counts[other * this.classes + label];
    }
    const both = this.counts[label * this.classes + label];
    return {
      iou: both / (pixels + said - both),
      accuracy: both / pixels,
      precision: both / said,
      dice: (2 * both) / (pixels + said),
      pixels,
    };
  }
}
