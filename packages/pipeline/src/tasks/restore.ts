import { cropImage, type RgbImage, resizeImage } from '@rass/images';
import { type LatentTiling, type Restorer, restoreLatents, type TileProgress, tiledLatentsAsync } from '@rass/rass';
import type { Unet } from '@rass/unet';
import { scaleLatents, unscaleLatents, vaeDecodeAsync, vaeEncodeAsync } from '@rass/vae';
import { type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { padEdges } from '../images/pad.ts';
import { imageBatch, imagesOf } from '../images/tensors.ts';
import { restoringUnet } from '../model/load-stage.ts';
import type { Model } from '../model/open.ts';
import type { RestorationStage } from '../model/stages.ts';
import { holding } from './held.ts';
import { MULTIPLE, type SharedModels } from './task.ts';

export type ColourFix = 'none' | 'adain' | 'wavelet';

export interface RestoreOptions {
  /** What the photograph shows; default nothing. */
  readonly tags?: readonly string[];
  /** Which colours a restored photograph takes from the bad one; default adain: a flat colour stays what it is. */
  readonly colourFix?: ColourFix;
  /** How many times larger; default 1. */
  readonly upscale?: number;
  readonly tiling?: LatentTiling;
  /** Ends the work after the block or tile that it is at; nothing stays in memory then. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RestoreProgress) => void;
}

/** How far a restoration has come. */
export interface RestoreProgress {
  readonly stage: 'encode' | 'restore' | 'decode';
  /** Of the stage, from 0 to 1. */
  readonly done: number;
}

/** From so many pixels on the autoencoder goes band by band. */
const BANDS_FROM = 2 ** 20;

/** What restores. */
export interface Restoring {
  readonly unet: Unet;
  readonly schedule: Restorer['schedule'];
  readonly stage: RestorationStage;
  restore(shared: SharedModels, image: RgbImage, options: RestoreOptions): Promise<RgbImage>;
}

/** An image whose sides fit, restored piece by piece. */
function restoredWhole(
  { unet, schedule, stage }: Restoring,
  { vae, text: tags }: SharedModels,
  image: RgbImage,
  options: RestoreOptions,
): Promise<RgbImage> {
  const { tiling, signal, onProgress } = options;
  const { timestep, latentUpdate } = stage;
  const told = (name: RestoreProgress['stage']) => ({ done }: { done: number }) => onProgress?.({ stage: name, done }); // biome-ignore format: one line
  const stop = signal && { signal };
  const pass = { ...(image.width * image.height >= BANDS_FROM && { tiling: 'exact' as const }), ...stop };
  return holding(async (hold) => {
    const text = hold(tags.embed(await tags.prompt(options.tags ?? [])));
    const pixels = hold(imageBatch([image]));
    const { posterior } = hold(await vaeEncodeAsync(vae, pixels, { ...pass, onProgress: told('encode') }));
    const latents = hold(tidy(() => scaleLatents(vae.config, posterior.mean)));
    const step = (tile: Tensor4D): Tensor4D =>
      tidy(() => restoreLatents({ unet, schedule }, tile, text, { timestep, latentUpdate }).latents);
    const onTile = ({ done, tiles }: TileProgress) => told('restore')({ done: done / tiles });
    const better = hold(await tiledLatentsAsync(latents, step, { ...tiling, ...stop, onTile }));
    const unscaled = hold(unscaleLatents(vae.config, better));
    const { image: decoded } = await vaeDecodeAsync(vae, unscaled, { ...pass, onProgress: told('decode') });
    const [whole] = await imagesOf(hold(decoded));
    return whole!;
  });
}

/** Loads what restores of a model. @throws when it was not trained to */
export async function loadRestoring(model: Model): Promise<Restoring> {
  const stage = model.stages.restoration;
  if (stage === undefined) {
    throw new Error(`model: ${model.name}: to restore it has an SCR LoRA; got none; train it by rass train scr`);
  }
  const schedule = model.schedule();
  const unet = await restoringUnet(model, await model.loadUnet(), stage);
  const restoring: Restoring = {
    unet,
    schedule,
    stage,
    async restore(shared, image, options) {
      const { colourFix = 'adain', upscale = 1 } = options;
      const size = { width: Math.round(image.width * upscale), height: Math.round(image.height * upscale) };
      const large = upscale === 1 ? image : resizeImage(image, size, 'bicubic');
      const whole = await restoredWhole(restoring, shared, padEdges(large, MULTIPLE), options);
      const restored = cropImage(whole, { left: 0, top: 0, ...size });
      if (colourFix === 'none') return restored;
      const { fixColours } = await import('./colour-fix.ts');
      return fixColours(restored, large, colourFix);
    },
  };
  return restoring;
}
