import type { RgbImage } from '@rass/images';
import { type Image, psnr, ssim } from '@rass/metrics';
import { type Lpips, lpips } from '@rass/metrics/lpips';
import { imageBatch } from '@rass/pipeline';
import { tidy } from '@tensorflow/tfjs-core';

/** How close an image is to a good one. */
export interface ImageScores {
  readonly psnr: number;
  readonly ssim: number;
  readonly lpips?: number;
}

/** An equal image has an endless PSNR, which would be everyone's mean. */
const BEST_PSNR = 100;
const rgb = (image: RgbImage): Image => ({ ...image, channels: 3 });

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** In decibels, of red, green and blue. */
export const psnrOf = (image: RgbImage, clean: RgbImage): number =>
  Math.min(BEST_PSNR, psnr(rgb(image), rgb(clean), { space: 'rgb' }));

export async function lpipsOf(network: Lpips, image: RgbImage, clean: RgbImage): Promise<number> {
  const distance = tidy(() => lpips(network, imageBatch([image]), imageBatch([clean])));
  const [value] = await distance.data();
  distance.dispose();
  return value!;
}

/** Scores of images against good ones, and their means. */
export class Scores {
  readonly #network: Lpips | undefined;
  readonly #values: ImageScores[] = [];

  constructor(network: Lpips | undefined) {
    this.#network = network;
  }

  /** @returns the image's own */
  async add(image: RgbImage, clean: RgbImage): Promise<ImageScores> {
    const network = this.#network;
    const scores = {
      psnr: psnrOf(image, clean),
      ssim: ssim(rgb(image), rgb(clean)),
      ...(network && { lpips: await lpipsOf(network, image, clean) }),
    };
    this.#values.push(scores);
    return scores;
  }

  means(): ImageScores {
    const meanOf = (pick: (scores: ImageScores) => number): number => mean(this.#values.map(pick));
    return {
      psnr: meanOf((each) => each.psnr),
      ssim: meanOf((each) => each.ssim),
      ...(this.#network && { lpips: meanOf((each) => each.lpips!) }),
    };
  }
}
