import type { RgbImage } from '@rass/images';
import { type Image, psnr, ssim } from '@rass/metrics';
import { type Lpips, lpips } from '@rass/metrics/lpips';
import { tidy } from '@tensorflow/tfjs-core';
import { imageBatch } from '../images/tensors.ts';

/** How close an image is to a good one. */
export interface ImageScores {
  readonly psnr: number;
  readonly ssim: number;
  readonly lpips?: number;
}

/** An equal image has an endless PSNR, which would be everyone's mean. */
const BEST_PSNR = 100;
const rgb = (image: RgbImage): Image => ({ ...image, channels: 3 });

/** Scores of images against good ones, and their means. */
export class Scores {
  readonly #network: Lpips | undefined;
  readonly #values: ImageScores[] = [];

  constructor(network: Lpips | undefined) {
    this.#network = network;
  }

  /** @returns the image's own */
  async add(image: RgbImage, clean: RgbImage): Promise<ImageScores> {
    const [a, b] = [rgb(image), rgb(clean)];
    const scores = { psnr: Math.min(BEST_PSNR, psnr(a, b, { space: 'rgb' })), ssim: ssim(a, b) };
    const all = { ...scores, ...(await this.#distance(image, clean)) };
    this.#values.push(all);
    return all;
  }

  async #distance(image: RgbImage, clean: RgbImage): Promise<{ lpips?: number }> {
    const network = this.#network;
    if (network === undefined) return {};
    const distance = tidy(() => lpips(network, imageBatch([image]), imageBatch([clean])));
    const value = (await distance.data())[0]!;
    distance.dispose();
    return { lpips: value };
  }

  means(): ImageScores {
    const mean = (pick: (scores: ImageScores) => number): number =>
      this.#values.reduce((sum, scores) => sum + pick(scores), 0) / this.#values.length;
    return {
      psnr: mean((each) => each.psnr),
      ssim: mean((each) => each.ssim),
      ...(this.#network && { lpips: mean((each) => each.lpips!) }),
    };
  }
}
