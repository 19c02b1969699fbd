import type { GaussianKind } from '../blur/kernel.ts';

/** Both ends belong to it. */
export type Range = readonly [low: number, high: number];

/** How a blur kernel is drawn. */
export interface BlurSettings {
  /** Odd side lengths, each as likely as the others. */
  readonly sizes: readonly number[];
  /** How often it is a sinc filter. */
  readonly sincProbability: number;
  /** How often, otherwise, each kind: weights. */
  readonly kinds: Readonly<Partial<Record<GaussianKind, number>>>;
  /** In pixels. */
  readonly sigma: Range;
  /** Exponents of generalised Gaussians and of plateaus: half of them below 1, half above. */
  readonly generalizedShape: Range;
  readonly plateauShape: Range;
}

export interface ResizeSettings {
  /** Weights of making it larger, making it smaller, and leaving it. */
  readonly up: number;
  readonly down: number;
  readonly keep: number;
  /** The factors; 1 is between them. */
  readonly range: Range;
}

export interface NoiseSettings {
  /** How often it is Gaussian; otherwise it is Poisson's. */
  readonly gaussianProbability: number;
  /** In levels of 255. */
  readonly sigma: Range;
  readonly poissonScale: Range;
  /** How often it is the same on each channel. */
  readonly grayProbability: number;
}

/** One of the two rounds of blur, resize, noise and JPEG. */
export interface RoundSettings {
  readonly blurProbability: number;
  readonly blur: BlurSettings;
  readonly resize: ResizeSettings;
  readonly noise: NoiseSettings;
  /** Above 0 and up to 100. */
  readonly jpegQuality: Range;
}

/** What an image is put through. */
export interface DegradationSettings {
  /** The result is the input's size divided by it, rounded down. */
  readonly scale: number;
  /** Brings the result back to the input's size at the end. */
  readonly resizeBack: boolean;
  /** Sharpens the input first. */
  readonly sharpen: boolean;
  readonly first: RoundSettings;
  readonly second: RoundSettings;
  readonly finalSinc: { readonly probability: number; readonly sizes: readonly number[] };
}
