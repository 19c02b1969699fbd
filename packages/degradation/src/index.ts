export { filter2d } from './blur/filter.ts';
export { blurKernel, type GaussianKind, type Kernel, type KernelRecord } from './blur/kernel.ts';
export { type Degraded, degrade, type OfKind, replay } from './degrade.ts';
export {
  type FloatImage,
  type PlanarImage,
  type RgbImage,
  toFloatImage,
  toPlanar,
  toRgbImage,
} from './image.ts';
export { jpeg } from './jpeg/jpeg.ts';
export { addNoise, type NoiseEnd, type NoiseRecord, type NoiseSource } from './noise.ts';
export type { DegradationRecord, RoundRecord } from './record.ts';
export { type ResizeMode, type ResizeRecord, resize } from './resize.ts';
export { parseDegradationConfig } from './settings/config.ts';
export {
  DEGRADATION_PRESETS,
  OSEDIFF_DEGRADATION,
  PISA_SR_DEGRADATION,
  RASS_DEGRADATION,
  RASS_MILD_DEGRADATION,
  REAL_ESRGAN_DEGRADATION,
} from './settings/presets.ts';
export type {
  BlurSettings,
  DegradationSettings,
  NoiseSettings,
  Range,
  ResizeSettings,
  RoundSettings,
} from './settings/settings.ts';
export { type SharpenOptions, sharpen } from './sharpen.ts';
