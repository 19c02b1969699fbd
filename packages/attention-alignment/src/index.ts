export { type AlignmentInputs, type AlignmentLoss, alignmentLoss } from './alignment-loss.ts';
export {
  ALIGNMENT_KINDS,
  type AlignmentConfig,
  type AlignmentKind,
  type AlignmentOptions,
  alignmentConfig,
  warmUp,
} from './config.ts';
export { type JoinOptions, joinMaps } from './joined.ts';
export {
  amongWords,
  chooseMaps,
  type LevelMaps,
  levelOf,
  type MapChoice,
  type MapOptions,
  type Normalization,
  normalizeMaps,
  type Place,
  type Size,
  tagMaps,
} from './maps.ts';
export {
  IGNORE_LABEL,
  type LabelMap,
  type LevelMasks,
  levelMasks,
  type MaskOptions,
  type MaskResize,
  presentClasses,
} from './masks.ts';
export {
  grid,
  type HeatMapOptions,
  heatColour,
  heatMap,
  labelPicture,
  overlay,
  type Picture,
  resizeMap,
} from './pictures.ts';
export {
  classTags,
  cleanPrompt,
  type FindOptions,
  findTags,
  type PromptOptions,
  type TagPositions,
  type TagPrompt,
  type TextToken,
  type Tokenize,
  tagPrompt,
} from './prompts.ts';
export {
  type AttentionIou,
  attentionIou,
  type HostMaps,
  readMaps,
  segmentByAttention,
  tagValues,
  thresholdIou,
} from './scores.ts';
