import type { BlurSettings, DegradationSettings, RoundSettings } from './settings.ts';

/** The side lengths that Real-ESRGAN draws from. */
export const KERNEL_SIZES: readonly number[] = [7, 9, 11, 13, 15, 17, 19, 21];

const blur: BlurSettings = {
  sizes: KERNEL_SIZES,
  sincProbability: 0.1,
  kinds: {
    iso: 0.45,
    aniso: 0.25,
    generalized_iso: 0.12,
    generalized_aniso: 0.03,
    plateau_iso: 0.12,
    plateau_aniso: 0.03,
  },
  sigma: [0.2, 3],
  generalizedShape: [0.5, 4],
  plateauShape: [1, 2],
};

const first: RoundSettings = {
  blurProbability: 1,
  blur,
  resize: { up: 0.2, down: 0.7, keep: 0.1, range: [0.15, 1.5] },
  noise: { gaussianProbability: 0.5, sigma: [1, 30], poissonScale: [0.05, 3], grayProbability: 0.4 },
  jpegQuality: [30, 95],
};

const second: RoundSettings = {
  blurProbability: 0.8,
  blur: { ...blur, sigma: [0.2, 1.5] },
  resize: { up: 0.3, down: 0.4, keep: 0.3, range: [0.3, 1.2] },
  noise: { gaussianProbability: 0.5, sigma: [1, 25], poissonScale: [0.05, 2.5], grayProbability: 0.4 },
  jpegQuality: [30, 95],
};

/** At the input's own size. @source RASS preset/train_realesrnet_x1_get_degration.yml */
export const RASS_DEGRADATION = Object.freeze<DegradationSettings>({
  scale: 1,
  resizeBack: false,
  sharpen: false,
  first,
  second,
  finalSinc: { probability: 0.8, sizes: KERNEL_SIZES },
});

/** Hardly resized, with little noise; blurs are the strong ones. @source the same file's ranges that are commented out */
export const RASS_MILD_DEGRADATION = Object.freeze<DegradationSettings>({
  ...RASS_DEGRADATION,
  first: {
    ...first,
    resize: { ...first.resize, range: [1, 1.05] },
    noise: { ...first.noise, sigma: [1, 2], poissonScale: [0, 0.05] },
    jpegQuality: [95, 100],
  },
  second: {
    ...second,
    resize: { ...second.resize, range: [0.95, 1] },
    noise: { ...second.noise, sigma: [1, 2], poissonScale: [0.01, 0.05] },
    jpegQuality: [95, 100],
  },
});

/** To a quarter of the input's sides, which is sharpened first. @source Real-ESRGAN options/train_realesrgan_x4plus.yml */
export const REAL_ESRGAN_DEGRADATION = Object.freeze<DegradationSettings>({
  ...RASS_DEGRADATION,
  scale: 4,
  sharpen: true,
});

/** To a quarter of the input's sides and back. @source OSEDiff dataloaders/params_realesrgan.yml */
export const OSEDIFF_DEGRADATION = Object.freeze<DegradationSettings>({
  ...RASS_DEGRADATION,
  scale: 4,
  resizeBack: true,
});

/** Milder, to a quarter of the input's sides and back. @source PiSA-SR src/datasets/params.yml */
export const PISA_SR_DEGRADATION = Object.freeze<DegradationSettings>({
  ...OSEDIFF_DEGRADATION,
  first: {
    ...first,
    resize: { ...first.resize, range: [0.3, 1.5] },
    noise: { ...first.noise, sigma: [1, 15], poissonScale: [0.05, 2] },
    jpegQuality: [60, 95],
  },
  second: {
    ...second,
    blurProbability: 0.5,
    resize: { ...second.resize, range: [0.6, 1.2] },
    noise: { ...second.noise, sigma: [1, 12], poissonScale: [0.05, 1] },
    jpegQuality: [60, 100],
  },
});

/** Settings by a name for configuration files. */
export const DEGRADATION_PRESETS: Readonly<Record<string, DegradationSettings>> = Object.freeze({
  rass: RASS_DEGRADATION,
  'rass-mild': RASS_MILD_DEGRADATION,
  'real-esrgan': REAL_ESRGAN_DEGRADATION,
  osediff: OSEDIFF_DEGRADATION,
  'pisa-sr': PISA_SR_DEGRADATION,
});
