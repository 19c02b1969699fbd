import { SCENE_KINDS } from '@rass/scenes';
import * as v from 'valibot';

/** What is told before a training begins, and ends it unless the recipe allows it. */
export const ALLOWED = ['one-class', 'all-ignored', 'zero-loss'] as const;
export type Allowed = (typeof ALLOWED)[number];

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const wholeFromZero = v.pipe(v.number(), v.integer(), v.minValue(0));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const weight = v.pipe(v.number(), v.finite(), v.minValue(0));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const text = v.pipe(v.string(), v.nonEmpty());
const side = v.pipe(count, v.minValue(16));

/** Procedural scenes, without an end: sample i is the scene of seed `first` + i. */
const scenes = v.strictObject({
  kind: v.literal('scenes'),
  size: v.optional(side, 256),
  /** Outdoors or indoors alone; unset: both. */
  setting: v.optional(v.picklist(SCENE_KINDS)),
  first: v.optional(wholeFromZero, 0),
  /** How many there are; unset: no end. */
  length: v.optional(count),
  /** A folder in ADE20K's layout where each scene stays once it is drawn: reading one takes a hundredth of drawing it. */
  keep: v.optional(text),
});
/** ADE20K's layout, RealLQ's too: see openAde20k of @rass/datasets. */
const ade20k = v.strictObject({
  kind: v.literal('ade20k'),
  folder: text,
  split: v.optional(text),
  reduceZeroLabel: v.optional(v.boolean()),
});
/** Images alone. */
const folder = v.strictObject({ kind: v.literal('folder'), folder: text });
/** Bad photographs and good ones of the same names. */
const pairs = v.strictObject({ kind: v.literal('pairs'), degraded: text, clean: text });
/** A text file of images and labels. */
const list = v.strictObject({ kind: v.literal('list'), file: text });
const coco = v.strictObject({ kind: v.literal('coco'), annotations: text, images: text, masks: text });
const one = v.variant('kind', [scenes, ade20k, folder, pairs, list, coco]);
/** Several: each sample is drawn from one of them, by their shares. */
const mix = v.strictObject({
  kind: v.literal('mix'),
  parts: v.pipe(v.array(v.strictObject({ source: one, share: positive })), v.minLength(2)),
});

/** Where samples come from. */
export const sourceField = v.variant('kind', [scenes, ade20k, folder, pairs, list, coco, mix]);
export type SourceRecipe = v.InferOutput<typeof sourceField>;

/** What is done to an image and its labels together. */
export const augmentField = v.strictObject({
  /** The sides of a training sample, in pixels. */
  crop: v.optional(side, 512),
  /** The shorter side is brought to one of these first; `paper`: half to twice the crop in steps of a tenth; unset: the image's own. */
  shortSides: v.optional(v.union([v.literal('paper'), v.pipe(v.array(side), v.minLength(1))])),
  flip: v.optional(v.boolean(), true),
  /** SSD's colour changes. */
  colour: v.optional(v.boolean(), false),
  /** No class fills more of a crop than this, if ten tries allow it; 1: any crop. */
  mostOfOneClass: v.optional(share, 1),
});
export type AugmentRecipe = v.InferOutput<typeof augmentField>;

/** A preset's name, or a YAML file of Real-ESRGAN's options; `none` leaves images as they are. */
export const degradationField = v.optional(text, 'rass');

export const dataField = v.strictObject({
  source: sourceField,
  augment: v.optional(augmentField, {}),
  /** Threads that draw, cut and degrade samples ahead of their step. */
  workers: v.optional(wholeFromZero, 1),
  /** How many steps ahead. */
  ahead: v.optional(count, 3),
  /** What is trained on all the same: labels of one class alone, labels that are all ignored, losses that stay 0. */
  allow: v.optional(v.array(v.picklist(ALLOWED)), []),
});
export type DataRecipe = v.InferOutput<typeof dataField>;

function isPattern(pattern: string): boolean {
  try {
    return new RegExp(pattern) !== undefined;
  } catch {
    return false;
  }
}

const schedule = v.strictObject({
  kind: v.optional(v.picklist(['constant', 'poly', 'cosine']), 'constant'),
  warmUp: v.optional(wholeFromZero, 0),
  /** Of `poly`. */
  power: v.optional(positive, 0.9),
});

export const optimizerField = v.strictObject({
  rate: v.optional(positive, 1e-4),
  weightDecay: v.optional(weight, 0.01),
  /** Of norms, and of embeddings and tables of positions; where a group has a decay of its own, that. */
  normDecay: v.optional(weight, 0),
  embeddingDecay: v.optional(weight, 0),
  betas: v.optional(v.tuple([share, share]), [0.9, 0.999]),
  /** The norm of all gradients together is brought down to this. */
  clip: v.optional(positive, 1),
  schedule: v.optional(schedule, {}),
  /** The first group whose pattern, a regular expression, fits a key trains it at `factor` of the rate. */
  groups: v.optional(
    v.array(
      v.strictObject({
        name: v.optional(text),
        match: v.pipe(text, v.check(isPattern, 'is a regular expression')),
        factor: v.optional(weight, 1),
        weightDecay: v.optional(weight),
      }),
    ),
    [],
  ),
  /** Gradients that are not finite: an error, or a step left out. */
  onNonFinite: v.optional(v.picklist(['stop', 'skip']), 'stop'),
});
export type OptimizerRecipe = v.InferOutput<typeof optimizerField>;

export const averageField = v.optional(
  v.strictObject({ decay: v.optional(v.pipe(share, v.ltValue(1)), 0.999), warmUp: v.optional(v.boolean(), true) }),
);

export const checkpointsField = v.strictObject({
  every: v.optional(count, 1000),
  keepLast: v.optional(count, 2),
  keepBest: v.optional(v.array(v.strictObject({ metric: text, mode: v.picklist(['max', 'min']) })), []),
});

export const validationField = v.strictObject({
  /** Steps between two; there is one at step 0 and one at the end too. 0: none at all. */
  every: v.optional(wholeFromZero, 1000),
  source: v.optional(sourceField),
  /** What makes its photographs bad, as `degradation`; unset: the same for scenes and without a source; none for a set that may be bad already. */
  degradation: v.optional(text),
  /** Samples that are scored, and pictures on the sheet. */
  samples: v.optional(count, 16),
  pictures: v.optional(count, 4),
});

/** What every recipe has. */
export const commonFields = {
  name: v.pipe(text, v.regex(/^[\w-][\w.-]*$/, 'is a name for a folder: letters, digits, - _, and . but at its start')),
  about: v.optional(text),
  /** What it was run on, and what came out. */
  hardware: v.optional(text),
  expected: v.optional(text),
  seed: v.optional(wholeFromZero, 0),
  steps: count,
  batch: v.optional(count, 1),
  /** Batches that make one step. */
  accumulate: v.optional(count, 1),
  /** Compute blocks again in the backward pass instead of keeping what they made. */
  checkpointing: v.optional(v.boolean(), false),
  data: dataField,
  optimizer: v.optional(optimizerField, {}),
  average: averageField,
  checkpoints: v.optional(checkpointsField, {}),
  validation: v.optional(validationField, {}),
  /** Steps between two lines of the log. */
  logEvery: v.optional(count, 10),
} as const;

export { count, positive, share, text, weight, wholeFromZero };
