export type { FeaturePyramid, PyramidChannels } from './backbones/pyramid.ts';
export {
  type Mask2FormerConfigOptions,
  type Mask2FormerHeadConfig,
  mask2FormerHeadConfig,
  parseMask2FormerConfig,
} from './config.ts';
export { type Assignment, linearSumAssignment } from './criterion/assignment.ts';
export {
  type CriterionResult,
  mask2FormerCriterion,
  type OutputTensors,
  outputOf,
  outputTensors,
} from './criterion/criterion.ts';
export { type LayerLoss, type Mask2FormerLoss, mask2FormerLoss } from './criterion/loss.ts';
export { type ImageMatching, type Matching, matchPredictions } from './criterion/match.ts';
export type { CriterionOptions } from './criterion/options.ts';
export { type PointSource, randomPoints } from './criterion/points.ts';
export {
  IGNORE_LABEL,
  type LabelMap,
  type MaskTargets,
  type Segment,
  segmentTargets,
  semanticTargets,
} from './criterion/targets.ts';
export type { MaskedDecoderOptions } from './decoder/decoder.ts';
export { type Mask2FormerHead, mask2FormerHead, mask2FormerHeadParams } from './head.ts';
export { detectron2Head } from './names/detectron2.ts';
export type { Mask2FormerOutput, Prediction } from './outputs.ts';
export { sinePositionEmbedding } from './position-embedding.ts';
