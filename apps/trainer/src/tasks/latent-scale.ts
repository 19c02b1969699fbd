import type { RgbImage } from '@rass/images';
import { latentsOf } from '@rass/pipeline';
import type { Vae } from '@rass/vae';
import { mean, square, tidy } from '@tensorflow/tfjs-core';
import { chunksOf } from './chunks.ts';

/** The root mean square of latents as the diffusion model would get them, which is best near 1: the autoencoder's scaling factor is the
 * configuration's. */
export async function scaledLatentDeviation(vae: Vae, images: readonly RgbImage[], batch: number): Promise<number> {
  let [sum, count] = [0, 0];
  for (const part of chunksOf(images, batch)) {
    const squares = tidy(() => mean(square(latentsOf(vae, part))));
    sum += (await squares.data())[0]! * part.length;
    count += part.length;
    squares.dispose();
  }
  return Math.sqrt(sum / count);
}
