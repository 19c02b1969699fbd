import { type PointSource, randomPoints } from './points.ts';

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
  /** What the sums over masks are divided by; default the batch's number of masks, at least 1. Several machines give their mean. */
  readonly numMasks?: number;
  /** What to do about an image with logits that are infinite or not numbers: stop with an error that names them, or leave the image
   * out. Default `throw`. */
  readonly nonFinite?: 'throw' | 'skip';
}

export type ResolvedOptions = Required<Omit<CriterionOptions, 'points' | 'numMasks'>> & {
  readonly points: PointSource;
  readonly numMasks?: number;
};

function refuse(rule: string, got: unknown, remedy: string): never {
  throw new Error(`mask2Former criterion: ${rule}; got ${got}; ${remedy}`);
}

/** @source Cheng et al. 2022, arXiv 2112.01527; transformers Mask2FormerConfig */
export function resolveOptions(given: CriterionOptions): ResolvedOptions {
  const o: ResolvedOptions = {
    classWeight: given.classWeight ?? 2,
    maskWeight: given.maskWeight ?? 5,
    diceWeight: given.diceWeight ?? 5,
    noObjectWeight: given.noObjectWeight ?? 0.1,
    trainNumPoints: given.trainNumPoints ?? 12544,
    oversampleRatio: given.oversampleRatio ?? 3,
    importanceSampleRatio: given.importanceSampleRatio ?? 0.75,
    points: typeof given.points === 'number' ? randomPoints(given.points) : given.points,
    numMasks: given.numMasks,
    nonFinite: given.nonFinite ?? 'throw',
  };
  for (const name of ['classWeight', 'maskWeight', 'diceWeight', 'noObjectWeight'] as const) {
    if (!(o[name] >= 0 && Number.isFinite(o[name]))) refuse(`${name} is a number from 0 up`, o[name], 'correct it');
  }
  if (o.classWeight + o.maskWeight + o.diceWeight === 0) refuse('some weight is above 0', 'only zeros', 'give one');
  if (!Number.isInteger(o.trainNumPoints) || o.trainNumPoints < 1) {
    refuse('trainNumPoints is a whole number from 1 up', o.trainNumPoints, '12544 is usual');
  }
  if (!(o.oversampleRatio >= 1)) refuse('oversampleRatio is 1 or more', o.oversampleRatio, '3 is usual');
  if (!(o.importanceSampleRatio >= 0 && o.importanceSampleRatio <= 1)) {
    refuse('importanceSampleRatio is from 0 to 1', o.importanceSampleRatio, '0.75 is usual');
  }
  if (o.numMasks !== undefined && !(o.numMasks > 0)) refuse('numMasks is above 0', o.numMasks, 'leave it out');
  return o;
}
