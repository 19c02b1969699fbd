import { exp, power, sineCosine } from '../random/portable-math.ts';
import { besselJ1 } from './bessel.ts';

/** The Gaussian kernels by basicsr's names, with the shares of a draw in Real-ESRGAN's order. */
export const GAUSSIAN_KINDS = [
  'iso',
  'aniso',
  'generalized_iso',
  'generalized_aniso',
  'plateau_iso',
  'plateau_aniso',
] as const;
export type GaussianKind = (typeof GAUSSIAN_KINDS)[number];

/** A kernel by its numbers; `size` is an odd side length. */
export type KernelRecord =
  | {
      readonly kind: GaussianKind;
      readonly size: number;
      /** In pixels, along the kernel's own axes. */
      readonly sigmaX: number;
      readonly sigmaY: number;
      /** In radians. */
      readonly angle: number;
      /** 1 is the normal distribution; plain Gaussian kernels have no other. */
      readonly shape: number;
    }
  /** A circular low-pass filter; the cutoff is in radians a pixel, pi at most. */
  | { readonly kind: 'sinc'; readonly size: number; readonly cutoff: number };

/** Weights of a square filter, row by row. */
export interface Kernel {
  readonly size: number;
  readonly weights: Float32Array;
}

function gaussianWeights(record: Extract<KernelRecord, { kind: GaussianKind }>, weights: Float64Array): void {
  const { kind, size, sigmaX, sigmaY, angle, shape } = record;
  const { sine, cosine } = sineCosine(angle);
  const [x2, y2] = [1 / (sigmaX * sigmaX), 1 / (sigmaY * sigmaY)];
  // The inverse of the rotated covariance.
  const xx = cosine * cosine * x2 + sine * sine * y2;
  const xy = cosine * sine * (x2 - y2);
  const yy = sine * sine * x2 + cosine * cosine * y2;
  const plateau = kind.startsWith('plateau');
  const radius = (size - 1) / 2;
  for (let y = -radius, i = 0; y <= radius; y++) {
    for (let x = -radius; x <= radius; x++, i++) {
      // Rounding may bring a very flat kernel below 0.
      const distance = power(Math.max(0, xx * x * x + 2 * xy * x * y + yy * y * y), shape);
      weights[i] = plateau ? 1 / (distance + 1) : exp(-0.5 * distance);
    }
  }
}

function sincWeights(size: number, cutoff: number, weights: Float64Array): void {
  const radius = (size - 1) / 2;
  const byDistance = new Map<number, number>();
  for (let y = -radius, i = 0; y <= radius; y++) {
    for (let x = -radius; x <= radius; x++, i++) {
      const square = x * x + y * y;
      let weight = byDistance.get(square);
      if (weight === undefined) {
        const distance = Math.sqrt(square);
        weight =
          distance === 0
            ? (cutoff * cutoff) / (4 * Math.PI)
            : (cutoff * besselJ1(cutoff * distance)) / (2 * Math.PI * distance);
        byDistance.set(square, weight);
      }
      weights[i] = weight;
    }
  }
}

/** The weights of a kernel, which sum to 1.
 * @throws when the size is even
 * @source basicsr 1.4.2 bivariate_Gaussian, _generalized_Gaussian, _plateau, circular_lowpass_kernel; golden/degradation/kernels */
export function blurKernel(record: KernelRecord): Kernel {
  const { size } = record;
  if (!Number.isSafeInteger(size) || size < 1 || size % 2 === 0) {
    throw new Error(`blurKernel: the size is odd, so that there is a middle; got ${size}; give such as 21`);
  }
  const weights = new Float64Array(size * size);
  if (record.kind === 'sinc') sincWeights(size, record.cutoff, weights);
  else gaussianWeights(record, weights);
  const sum = weights.reduce((a, b) => a + b, 0);
  if (!Number.isFinite(sum) || sum === 0) {
    throw new Error(
      `blurKernel: weights have a finite sum; got ${sum} from ${JSON.stringify(record)}; give wider sigmas`,
    );
  }
  return { size, weights: Float32Array.from(weights, (weight) => weight / sum) };
}
