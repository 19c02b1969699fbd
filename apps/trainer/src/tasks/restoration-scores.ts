import type { RgbImage } from '@rass/images';
import type { Lpips } from '@rass/metrics/lpips';
import { type ImageScores, lpipsOf, mean, psnrOf } from '../evaluation/scores.ts';

/** The mean scores of images against their references; LPIPS where the network is given. */
export async function restorationScores(
  images: readonly RgbImage[],
  references: readonly RgbImage[],
  network?: Lpips,
): Promise<Omit<ImageScores, 'ssim'>> {
  const ratio = mean(images.map((image, i) => psnrOf(image, references[i]!)));
  if (network === undefined) return { psnr: ratio };
  const distances: number[] = [];
  for (const [i, image] of images.entries()) distances.push(await lpipsOf(network, image, references[i]!));
  return { psnr: ratio, lpips: mean(distances) };
}
