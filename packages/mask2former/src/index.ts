export type { FeaturePyramid, PyramidChannels } from './backbones/pyramid.ts';
export {
  type Mask2FormerConfigOptions,
  type Mask2FormerHeadConfig,
  mask2FormerHeadConfig,
  parseMask2FormerConfig,
} from './config.ts';
export type { MaskedDecoderOptions } from './decoder/decoder.ts';
export { type Mask2FormerHead, mask2FormerHead, mask2FormerHeadParams } from './head.ts';
export { detectron2Head } from './names/detectron2.ts';
export type { Mask2FormerOutput, Prediction } from './outputs.ts';
export { sinePositionEmbedding } from './position-embedding.ts';
