import type { RgbImage } from '@rass/images';
import { type Lpips, lpips } from '@rass/metrics/lpips';
import { disposeParams, randomParams, trainable, trainableTensors } from '@rass/nn';
import { imageBatch, imagesOf } from '@rass/pipeline';
import { lossStep } from '@rass/rass';
import { klDivergence, parseVaeConfig, sampleLatents, type Vae, vaeDecode, vaeEncode, vaeParams } from '@rass/vae';
import {
  abs,
  add,
  mean,
  mul,
  type Scalar,
  scalar,
  square,
  sub,
  type Tensor,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';
import { makeFolderBeside } from '../files.ts';
import { writeComponent } from '../model/folder.ts';
import { openLpips } from '../model/lpips.ts';
import type { VaeRecipe } from '../recipe/recipes.ts';
import type { Sample } from '../samples/sample.ts';
import type { BatchPlace, BatchResult, TrainingTask, Validation } from '../training/task.ts';
import { chunksOf } from './chunks.ts';
import { noiseAt } from './draws.ts';
import { groupsOf } from './groups.ts';
import { scaledLatentDeviation } from './latent-scale.ts';
import { restorationScores } from './restoration-scores.ts';

/** The terms of an autoencoder's loss: of the image, of what a network sees in it, and of the latents' distribution. */
function vaeLoss(
  vae: Vae,
  network: Lpips | undefined,
  image: Tensor4D,
  noise: Tensor4D,
  recipe: VaeRecipe,
): Record<string, Scalar> {
  const { l1, l2, lpips: perceptual, kl } = recipe.loss;
  const { checkpointing } = recipe;
  const { posterior } = vaeEncode(vae, image, { checkpointing });
  const decoded = vaeDecode(vae, sampleLatents(posterior, { noise }), { checkpointing }).image;
  const difference = sub(decoded, image);
  const terms: Record<string, Scalar> = {
    l1: mean(abs(difference)),
    l2: mean(square(difference)),
    lpips: network !== undefined && perceptual > 0 ? (mean(lpips(network, decoded, image)) as Scalar) : scalar(0),
    // Summed over an image's latents, as latent diffusion weighs it.
    kl: mean(klDivergence(posterior)),
  };
  const weights: Readonly<Record<string, number>> = { l1, l2, lpips: perceptual, kl };
  const weighted = Object.keys(terms)
    .filter((name) => weights[name]! > 0)
    .map((name) => mul(terms[name]!, weights[name]!));
  return { loss: weighted.reduce((a, b) => add(a, b)) as Scalar, ...terms };
}

/** An autoencoder trained from nothing. */
class VaeTask implements TrainingTask {
  readonly groups;
  readonly #vae: Vae;
  readonly #recipe: VaeRecipe;
  readonly #network: Lpips | undefined;

  constructor(vae: Vae, network: Lpips | undefined, recipe: VaeRecipe) {
    this.#vae = vae;
    this.#network = network;
    this.#recipe = recipe;
    this.groups = groupsOf(vae, recipe.optimizer);
  }

  async run(samples: readonly Sample[], place: BatchPlace): Promise<BatchResult> {
    const variables: Record<string, Tensor> = trainableTensors(this.#vae);
    const image = imageBatch(samples.map(({ clean }) => clean));
    const { blockOutChannels, latentChannels } = this.#vae.config;
    const factor = 2 ** (blockOutChannels.length - 1);
    const [B, H, W] = image.shape;
    const noise = noiseAt(this.#recipe.seed, 'latents', place, [B, H / factor, W / factor, latentChannels]);
    try {
      return await lossStep('pretrain vae', variables, () =>
        vaeLoss(this.#vae, this.#network, image, noise, this.#recipe),
      );
    } finally {
      image.dispose();
      noise.dispose();
    }
  }

  async #decoded(samples: readonly Sample[]) {
    const images = tidy(() => {
      const { posterior } = vaeEncode(this.#vae, imageBatch(samples.map(({ clean }) => clean)));
      return vaeDecode(this.#vae, posterior.mean).image;
    });
    const decoded = await imagesOf(images);
    images.dispose();
    return decoded;
  }

  async validate(samples: readonly Sample[], { pictures }: { readonly pictures: number }): Promise<Validation> {
    const decoded: RgbImage[] = [];
    for (const part of chunksOf(samples, this.#recipe.batch)) decoded.push(...(await this.#decoded(part)));
    const clean = samples.map((sample) => sample.clean);
    const scores = await restorationScores(decoded, clean, this.#network);
    const deviation = await scaledLatentDeviation(this.#vae, clean, this.#recipe.batch);
    const sheet = samples.slice(0, pictures).map(({ id }, i) => ({
      title: id,
      pictures: [
        { caption: 'image', picture: clean[i]! },
        { caption: 'encoded and decoded', picture: decoded[i]! },
      ],
    }));
    return { metrics: { ...scores, latentDeviation: deviation }, sheet };
  }

  async save(folder: string, samples: readonly Sample[]): Promise<void> {
    const { vae: config, batch } = this.#recipe;
    const clean = samples.map((sample) => sample.clean);
    // Where the recipe does not say it: what brings the latents to a deviation of 1.
    const factor = this.#vae.config.scalingFactor / (await scaledLatentDeviation(this.#vae, clean, batch));
    const scaled = { scaling_factor: factor, ...config };
    await makeFolderBeside(folder, (temporary) => writeComponent(temporary, 'vae', scaled, this.#vae));
  }

  dispose(): void {
    disposeParams(this.#vae);
    if (this.#network !== undefined) disposeParams(this.#network);
  }
}

/** The task of `rass pretrain vae`. */
export async function vaeTask(recipe: VaeRecipe): Promise<TrainingTask> {
  const config = parseVaeConfig(recipe.vae);
  const network = recipe.loss.net === 'none' ? undefined : await openLpips(recipe.loss.net);
  const start = vaeParams(randomParams(recipe.seed), config);
  const vae = trainable(start, () => true);
  disposeParams(start);
  return new VaeTask(vae, network, recipe);
}
