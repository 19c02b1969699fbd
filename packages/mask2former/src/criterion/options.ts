import { anything, checkOptions, type OptionRules, oneOf } from '@rass/kernels/options';
import type { TargetSize } from '../inference/segmentation.ts';
import { countedPoints, type PointSource, randomPoints } from './points.ts';
import { refuse } from './refuse.ts';

/** How predictions are matched with targets and judged; defaults are the published ones. */
export interface CriterionOptions {
  /** Of the cross entropy; default 2. */
  readonly classWeight?: number;
  /** Of the masks' binary cross entropy; default 5. */
  readonly maskWeight?: number;
  /** Of the masks' dice loss; default 5. */
  readonly diceWeight?: number;
  /** Of "no object" among the classes; default 0.1. */
  readonly noObjectWeight?: number;
  /** Points at which masks are compared; default 12544 = 112 x 112. */
  readonly trainNumPoints?: number;
  /** Candidates for each point; default 3. */
  readonly oversampleRatio?: number;
  /** Share of the points that are chosen where the mask is least certain; default 0.75. */
  readonly importanceSampleRatio?: number;
  /** Where the points lie: a seed, or a source of them. Give each step another seed. */
  readonly points: number | PointSource;
  /** What the sums over masks are divided by; default the batch's number of masks, at least 1. Several machines give
   * their mean. */
  readonly numMasks?: number;
  /** Height and width of the images as the model saw them, padding included, in the masks' pixels; smaller masks are
   * padded with zeros below and on the right. Default: the largest height and width of the batch's masks. */
  readonly paddedSize?: TargetSize;
  /** What to do about an image with logits or targets that are infinite or not numbers: stop with an error that
   * names them, or go on as if the image were not in the batch. Its logits' gradients are then zeros; activations
   * that are not finite still spoil the gradients of the weights that they were multiplied with. Default `throw`. */
  readonly nonFinite?: 'throw' | 'skip';
}

const CRITERION_RULES: OptionRules<CriterionOptions> = {
  classWeight: anything,
  maskWeight: anything,
  diceWeight: anything,
  noObjectWeight: anything,
  trainNumPoints: anything,
  oversampleRatio: anything,
  importanceSampleRatio: anything,
  points: anything,
  numMasks: anything,
  paddedSize: anything,
  nonFinite: oneOf('throw', 'skip'),
};

type Optional = 'numMasks' | 'paddedSize';

export type ResolvedOptions = Required<Omit<CriterionOptions, 'points' | Optional>> &
  Pick<CriterionOptions, Optional> & { readonly points: PointSource };

/** @source Cheng et al. 2022, arXiv 2112.01527; transformers Mask2FormerConfig */
export function resolveOptions(given: CriterionOptions): ResolvedOptions {
  checkOptions('mask2FormerCriterion', given, CRITERION_RULES);
  const o: ResolvedOptions = {
    classWeight: given.classWeight ?? 2,
    maskWeight: given.maskWeight ?? 5,
    diceWeight: given.diceWeight ?? 5,
    noObjectWeight: given.noObjectWeight ?? 0.1,
    trainNumPoints: given.trainNumPoints ?? 12544,
    oversampleRatio: given.oversampleRatio ?? 3,
    importanceSampleRatio: given.importanceSampleRatio ?? 0.75,
    points: typeof given.points === 'number' ? randomPoints(given.points) : countedPoints(given.points),
    numMasks: given.numMasks,
    paddedSize: given.paddedSize,
    nonFinite: given.nonFinite ?? 'throw',
  };
  for (const name of ['classWeight', 'maskWeight', 'diceWeight', 'noObjectWeight'] as const) {
    if (!(o[name] >= 0 && Number.isFinite(o[name]))) refuse(`${name} is a number from 0 up`, o[name], 'correct it');
  }
  if (o.classWeight + o.maskWeight + o.diceWeight === 0) refuse('some weight is above 0', 'only zeros', 'give one');
  if (!Number.isInteger(o.trainNumPoints) || o.trainNumPoints < 1) {
    refuse('trainNumPoints is a whole number from 1 up', o.trainNumPoints, '12544 is usual');
  }
  if (!(o.oversampleRatio >= 1 && Number.isFinite(o.oversampleRatio))) {
    refuse('oversampleRatio is 1 or more', o.oversampleRatio, '3 is usual');
  }
  if (!(o.importanceSampleRatio >= 0 && o.importanceSampleRatio <= 1)) {
    refuse('importanceSampleRatio is from 0 to 1', o.importanceSampleRatio, '0.75 is usual');
  }
  const sides = o.paddedSize ?? [1, 1];
  if (sides.length !== 2 || !sides.every((side) => Number.isInteger(side) && side > 0)) {
    refuse('paddedSize is two whole numbers from 1 up', `[${sides}]`, 'give [height, width] in pixels');
  }
  if (o.numMasks !== undefined && !(o.numMasks > 0 && Number.isFinite(o.numMasks))) {
    refuse('numMasks is a number above 0', o.numMasks, 'leave it out');
  }
  return o;
}

const CONFIG_FIELDS = {
  class_weight: 'classWeight',
  mask_weight: 'maskWeight',
  dice_weight: 'diceWeight',
  no_object_weight: 'noObjectWeight',
  train_num_points: 'trainNumPoints',
  oversample_ratio: 'oversampleRatio',
  importance_sample_ratio: 'importanceSampleRatio',
} as const;

/** The criterion's part of transformers' config.json; what is absent keeps its default. The head's part is parseMask2FormerConfig's.
 * @throws when a value cannot be @source transformers 5.23 Mask2FormerConfig */
export function parseCriterionConfig(json: object): Omit<CriterionOptions, 'points'> {
  const given = Object.entries(CONFIG_FIELDS).filter(([field]) => field in json);
  const options = Object.fromEntries(given.map(([field, name]) => [name, (json as Record<string, number>)[field]]));
  resolveOptions({ ...options, points: 0 });
  return options;
}
