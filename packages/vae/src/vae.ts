import type { Tensor4D } from '@tensorflow/tfjs-core';
import { distributionOf, type LatentDistribution } from './distribution.ts';
import type { VaeDecoder, VaeEncoder } from './params.ts';
import { type Pass, passOf, type VaeOptions } from './pass.ts';
import { decoderStages, encoderStages } from './stages.ts';
import { type AsyncOptions, runNow, runPass, tidied } from './work.ts';

// Types and not interfaces, so that TensorFlow.js's tidy and dispose take them.
export type Encoded<Tap extends string = never> = {
  readonly posterior: LatentDistribution;
  /** The features that were asked for, by name. [B, h, w, C] */
  readonly taps: Readonly<Record<Tap, Tensor4D>>;
};

export type Decoded<Tap extends string = never> = {
  /** [B, H, W, 3], in about [-1, 1], not clipped */
  readonly image: Tensor4D;
  /** The features that were asked for, by name. [B, h, w, C] */
  readonly taps: Readonly<Record<Tap, Tensor4D>>;
};

/** What an asynchronous pass takes: gradients cannot be taken through one. */
export type VaeAsyncOptions<Tap extends string = never> = Omit<VaeOptions<Tap>, 'checkpointing'> & AsyncOptions;

type Result = ReturnType<Pass['start']> extends Generator<unknown, infer R> ? R : never;

const encodePass = (p: VaeEncoder, image: Tensor4D, options: VaeOptions<string>): Pass =>
  passOf(encoderStages(p), p.config, 'encode', image, options);

const decodePass = (p: VaeDecoder, latents: Tensor4D, options: VaeOptions<string>): Pass =>
  passOf(decoderStages(p), p.config, 'decode', latents, options);

function encoded<Tap extends string>({ out, taps }: Result): Encoded<Tap> {
  const posterior = distributionOf(out);
  out.dispose();
  return { posterior, taps: taps as Record<Tap, Tensor4D> };
}

/** Images to distributions of latents, differentiable. Sides that do not divide by 8 are rounded down, as in diffusers.
 * @shape image [B, H, W, 3] in [-1, 1] -> mean, logVariance [B, H/8, W/8, C]
 * @throws when the image does not fit, or an unknown tap or a combination that cannot be is asked for
 * @source diffusers AutoencoderKL.encode */
export function vaeEncode<Tap extends string = never>(
  p: VaeEncoder,
  image_BHWC: Tensor4D,
  options: VaeOptions<Tap> = {},
): Encoded<Tap> {
  return tidied(() => encoded<Tap>(runNow(encodePass(p, image_BHWC, options).start)));
}

/** Latents, not scaled (see unscaleLatents), to images, differentiable.
 * @shape latents [B, h, w, C] -> image [B, 8 h, 8 w, 3] in about [-1, 1]
 * @throws when the latents do not fit, or an unknown tap or a combination that cannot be is asked for
 * @source diffusers AutoencoderKL.decode */
export function vaeDecode<Tap extends string = never>(
  p: VaeDecoder,
  latents_BhwC: Tensor4D,
  options: VaeOptions<Tap> = {},
): Decoded<Tap> {
  return tidied(() => {
    const { out, taps } = runNow(decodePass(p, latents_BhwC, options).start);
    return { image: out, taps: taps as Record<Tap, Tensor4D> };
  });
}

/** vaeEncode in pieces, with a pause after each (a block, a band or a block of a tile), so that a page or a server
 * stays alive; with progress, and a signal to stop it. @throws also the signal's reason; nothing is left behind then */
export async function vaeEncodeAsync<Tap extends string = never>(
  p: VaeEncoder,
  image_BHWC: Tensor4D,
  options: VaeAsyncOptions<Tap> = {},
): Promise<Encoded<Tap>> {
  const { start, cost } = encodePass(p, image_BHWC, options);
  return encoded(await runPass(start, cost, options));
}

/** vaeDecode in pieces, as vaeEncodeAsync. @throws also the signal's reason; nothing is left behind then */
export async function vaeDecodeAsync<Tap extends string = never>(
  p: VaeDecoder,
  latents_BhwC: Tensor4D,
  options: VaeAsyncOptions<Tap> = {},
): Promise<Decoded<Tap>> {
  const { start, cost } = decodePass(p, latents_BhwC, options);
  const { out, taps } = await runPass(start, cost, options);
  return { image: out, taps: taps as Record<Tap, Tensor4D> };
}
