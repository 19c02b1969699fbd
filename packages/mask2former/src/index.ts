export {
  type ConvBackbone,
  type ConvBackboneConfig,
  convBackbone,
  convBackboneChannels,
  convBackboneParams,
} from './backbones/conv-backbone.ts';
export type { FeaturePyramid, PyramidChannels } from './backbones/pyramid.ts';
export { swin } from './backbones/swin.ts';
export { parseSwinConfig, type SwinConfig, swinChannels } from './backbones/swin-config.ts';
export { type Swin, swinParams } from './backbones/swin-params.ts';
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
export { matchPredictions } from './criterion/match.ts';
export type { ImageMatching, Matching } from './criterion/matching.ts';
export { type CriterionOptions, parseCriterionConfig } from './criterion/options.ts';
export { type PointSource, randomPoints } from './criterion/points.ts';
export {
  IGNORE_LABEL,
  type LabelMap,
  type MaskTargets,
  type Segment,
  segmentTargets,
  semanticTargets,
  type TargetRules,
} from './criterion/targets.ts';
export type { MaskedDecoderOptions } from './decoder/decoder.ts';
export { type Mask2FormerHead, mask2FormerHead, mask2FormerHeadParams } from './head.ts';
export {
  type InstanceOptions,
  type InstanceSegmentation,
  postProcessInstanceSegmentation,
} from './inference/instance.ts';
export { type LabelsOptions, labelsAtSize } from './inference/labels.ts';
export {
  type PanopticOptions,
  type PanopticSegmentation,
  postProcessPanopticSegmentation,
} from './inference/panoptic.ts';
export type { SegmentationMap, SegmentInfo, TargetSize } from './inference/segmentation.ts';
export {
  postProcessSemanticSegmentation,
  type SemanticOptions,
  type SemanticSegmentation,
} from './inference/semantic.ts';
export type { SizeOptions } from './inference/sizes.ts';
export {
  loadMask2Former,
  type Mask2Former,
  type Mask2FormerConfig,
  mask2Former,
  mask2FormerParams,
} from './model.ts';
export { detectron2Names } from './names/detectron2.ts';
export type { Mask2FormerOutput, Prediction } from './outputs.ts';
export { sinePositionEmbedding } from './position-embedding.ts';
export {
  type Mask2FormerProcessorConfig,
  type ProcessorConfigOptions,
  type ProcessorSize,
  parseMask2FormerProcessorConfig,
  type Resample,
} from './processor/config.ts';
export type { InstanceClasses } from './processor/labels.ts';
export { type Mask2FormerInputs, type PreprocessOptions, preprocess, type RgbImage } from './processor/preprocess.ts';
