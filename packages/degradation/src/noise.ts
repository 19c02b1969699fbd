import { clampUnit, levelOf, type PlanarImage, roundEven } from './image.ts';
import { normals } from './random/normal.ts';
import { poissonCounts } from './random/poisson.ts';

export type NoiseRecord =
  /** Sigma is in levels of 255. */
  | { readonly kind: 'gaussian'; readonly sigma: number; readonly gray: boolean; readonly seed: number }
  | { readonly kind: 'poisson'; readonly scale: number; readonly gray: boolean; readonly seed: number };

/** What becomes of numbers after noise. */
export interface NoiseEnd {
  /** Brings numbers back to 0..1; true where not said. */
  readonly clip?: boolean;
  /** Rounds to levels of 255. */
  readonly round?: boolean;
}

/** Where the noise itself comes from: a seed's own, or, to compare with another program, that one's. */
export interface NoiseSource {
  normals(count: number, seed: number): Float32Array;
  /** For each level a Poisson number of mean level / 255 * peak. */
  counts(levels: Uint8Array, peak: number, seed: number): Float32Array;
}

export const seededNoise: NoiseSource = { normals, counts: poissonCounts };

/** Luminance as torchvision has it. */
const GRAY = [0.2989, 0.587, 0.114] as const;

function colourLevels({ data }: PlanarImage): Uint8Array {
  const levels = new Uint8Array(data.length);
  for (let i = 0; i < levels.length; i++) levels[i] = levelOf(data[i]);
  return levels;
}

function grayLevels({ width, height, data }: PlanarImage): Uint8Array {
  const pixels = width * height;
  const levels = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) {
    levels[i] = levelOf(GRAY[0] * data[i] + GRAY[1] * data[pixels + i] + GRAY[2] * data[2 * pixels + i]);
  }
  return levels;
}

/** The power of two from the number of different levels on. */
function peakOf(levels: Uint8Array): number {
  const seen = new Uint8Array(256);
  for (let i = 0; i < levels.length; i++) seen[levels[i]] = 1;
  const different = seen.reduce((a, b) => a + b, 0);
  let peak = 1;
  while (peak < different) peak *= 2;
  return peak;
}

function shotNoise(image: PlanarImage, gray: boolean, seed: number, source: NoiseSource): Float32Array {
  const levels = gray ? grayLevels(image) : colourLevels(image);
  const peak = peakOf(levels);
  const counts = source.counts(levels, peak, seed);
  const noise = new Float32Array(counts.length);
  for (let i = 0; i < noise.length; i++) noise[i] = counts[i] / peak - Math.fround(levels[i] / 255);
  return noise;
}

/** Adds noise, the same on each channel where it is gray.
 * @source basicsr 1.4.2 add_gaussian_noise_pt, add_poisson_noise_pt; golden/degradation/noise */
export function addNoise(
  image: PlanarImage,
  record: NoiseRecord,
  { clip = true, round = false }: NoiseEnd = {},
  source: NoiseSource = seededNoise,
): PlanarImage {
  const { width, height, data } = image;
  const { gray, seed } = record;
  const pixels = width * height;
  const gaussian = record.kind === 'gaussian';
  const noise = gaussian ? source.normals(gray ? pixels : 3 * pixels, seed) : shotNoise(image, gray, seed, source);
  const strength = gaussian ? record.sigma : record.scale;
  const parts = gaussian ? 255 : 1;
  const out = new Float32Array(3 * pixels);
  for (let i = 0, at = 0; i < out.length; i++, at++) {
    if (gray && at === pixels) at = 0;
    // Rounded as torch rounds: whether a number is just half a level may hang on it.
    const added = Math.fround(Math.fround(strength * noise[at]) / parts);
    let value = Math.fround(data[i] + added);
    if (round) value = roundEven(Math.fround(value * 255)) / 255;
    out[i] = clip ? clampUnit(value) : value;
  }
  return { width, height, data: out };
}
