export { adainColourFix, type ByteImage, waveletColourFix } from './images/colour-fix.ts';
export type { Image, Space } from './images/image.ts';
export { type PsnrOptions, psnr } from './images/psnr.ts';
export { type SsimOptions, ssim } from './images/ssim.ts';
export {
  type AreaRange,
  AveragePrecision,
  type AveragePrecisionScores,
  type FoundInstance,
  type TrueInstance,
} from './instances/average-precision.ts';
export {
  areaOf,
  type CocoRle,
  decodeMask,
  encodeMask,
  fromCocoRle,
  intersectionArea,
  maskIou,
  type RunLengths,
  toCocoRle,
} from './instances/rle.ts';
export { IGNORE_LABEL, type LabelMap, type LabelRules } from './labels.ts';
export { type PanopticMap, PanopticQuality, type PanopticScores, type Segment, VOID_ID } from './panoptic/quality.ts';
export {
  BoundaryIou,
  type BoundaryRules,
  type BoundaryScores,
  boundaryOf,
  boundaryWidth,
} from './segmentation/boundary.ts';
export {
  type ClassScores,
  ConfusionMatrix,
  type ScoreOptions,
  type SegmentationScores,
} from './segmentation/confusion.ts';
