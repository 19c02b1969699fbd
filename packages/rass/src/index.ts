export {
  type AdapterPart,
  addScrLora,
  addSegLora,
  isTrainedInStage,
  type StageLoraOptions,
  scrAdapters,
  segAdapters,
} from './adapters.ts';
export {
  type FeatureFusion,
  type FeatureFusionConfig,
  type FeatureProjection,
  featureFusion,
  featureFusionParams,
  fusedChannels,
} from './features/fusion.ts';
export {
  type FeatureOptions,
  type RassBackbone,
  rassFeatures,
  stableDiffusionTaps,
} from './features/stable-diffusion.ts';
export { type FeatureTap, RASS_TAPS } from './features/taps.ts';
export {
  type AsyncInferenceOptions,
  type InferenceProgress,
  padImage,
  type Segmenter,
  type SemanticInferenceOptions,
  semanticInference,
  semanticInferenceAsync,
  semanticScores,
} from './inference/semantic.ts';
export { slidingFeatures, squareWindows, type Window } from './inference/windows.ts';
export { csdLoss, type Judge, type JudgedLatents, studentLoss, vsdLoss } from './restoration/distillation.ts';
export {
  DEFAULT_TIMESTEP,
  type LatentStep,
  type LatentStepOptions,
  type Restored,
  type Restorer,
  restore,
  restoreLatents,
  restorerParams,
} from './restoration/restore.ts';
export {
  alignedAttentions,
  type Distillation,
  type ScrBatch,
  type ScrLossOptions,
  type ScrModel,
  type ScrTerms,
  type ScrWeights,
  scrLoss,
} from './restoration/scr-loss.ts';
export {
  type AsyncTiling,
  type LatentTiling,
  type TileProgress,
  tiledLatents,
  tiledLatentsAsync,
} from './restoration/tiles.ts';
export { countStageTwo, type RassHead, rassHeadParams } from './stage-two.ts';
export {
  lossStep,
  type SegBatch,
  type SegModel,
  type SegStepOptions,
  type StepResult,
  scrStep,
  segStep,
  segVariables,
  studentStep,
} from './training/steps.ts';
