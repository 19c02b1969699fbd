import type { RgbImage } from '@rass/images';
import { psnr } from '@rass/metrics';
import { type Lpips, lpips } from '@rass/metrics/lpips';
import { tidy } from '@tensorflow/tfjs-core';
import { imageBatch } from '../images/tensors.ts';

/** Of restored images against the clean ones. */
export interface RestorationScores {
  /** The mean in decibels, of red, green and blue. */
  readonly psnr: number;
  readonly lpips?: number;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** An equal image has an endless PSNR, which would be everyone's mean. */
const BEST_PSNR = 100;

/** The mean scores of images against their references; LPIPS where the network is given. */
export async function restorationScores(
  images: readonly RgbImage[],
  references: readonly RgbImage[],
  network?: Lpips,
): Promise<RestorationScores> {
  const ratios = images.map((image, i) =>
    Math.min(BEST_PSNR, psnr({ ...image, channels: 3 }, { ...references[i]!, channels: 3 }, { space: 'rgb' })),
  );
  if (network === undefined) return { psnr: mean(ratios) };
  const distances: number[] = [];
  for (const [i, image] of images.entries()) {
    const distance = tidy(() => lpips(network, imageBatch([image]), imageBatch([references[i]!])));
    distances.push((await distance.data())[0]!);
    distance.dispose();
  }
  return { psnr: mean(ratios), lpips: mean(distances) };
}
