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
  padImage,
  type Segmenter,
  type SemanticInferenceOptions,
  semanticInference,
  semanticScores,
} from './inference/semantic.ts';
export { slidingFeatures, squareWindows, type Window } from './inference/windows.ts';
export {
  addSegLora,
  countStageTwo,
  isTrainedInStageTwo,
  type RassHead,
  rassHeadParams,
  type SegLoraOptions,
  type SegLoraPart,
} from './stage-two.ts';
