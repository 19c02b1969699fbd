import { filter2d } from './blur/filter.ts';
import type { Kernel } from './blur/kernel.ts';
import { clampUnit, type PlanarImage } from './image.ts';
import { exp } from './random/portable-math.ts';

export interface SharpenOptions {
  /** How much of what a blur takes away is added; 0.5 where not said. */
  readonly weight?: number;
  /** The blur's side length; an even one counts as the next odd one; 50 where not said. */
  readonly radius?: number;
  /** Smaller differences, in levels of 255, are left alone; 10 where not said. */
  readonly threshold?: number;
}

/** A Gaussian of a size, with the deviation that OpenCV finds for it. */
function gaussianOfSize(size: number): Kernel {
  const sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8;
  const line = Float64Array.from({ length: size }, (_, i) => {
    const x = i - (size - 1) / 2;
    return exp((-x * x) / (2 * sigma * sigma));
  });
  const sum = line.reduce((a, b) => a + b, 0);
  const weights = Float32Array.from({ length: size * size }, (_, i) => {
    return (line[Math.floor(i / size)] * line[i % size]) / (sum * sum);
  });
  return { size, weights };
}

/** Unsharp masking where edges are: Real-ESRGAN sharpens what it degrades and what it trains towards.
 * @source basicsr 1.4.2 USMSharp; golden/degradation/sharpen */
export function sharpen(image: PlanarImage, options: SharpenOptions = {}): PlanarImage {
  const { weight = 0.5, radius = 50, threshold = 10 } = options;
  const { width, height, data } = image;
  const kernel = gaussianOfSize(radius % 2 === 0 ? radius + 1 : radius);
  const blurred = filter2d(image, kernel).data;
  const edges = data.map((value, i) => (Math.abs(value - blurred[i]) * 255 > threshold ? 1 : 0));
  const share = filter2d({ width, height, data: edges }, kernel).data;
  const sharpened = data.map((value, i) => {
    const sharp = clampUnit(value + weight * (value - blurred[i]));
    return share[i] * sharp + (1 - share[i]) * value;
  });
  return { width, height, data: sharpened };
}
