import { dispose, type Tensor4D } from '@tensorflow/tfjs-core';
import { distributionOf, type LatentDistribution } from './distribution.ts';
import type { VaeDecoder, VaeEncoder } from './params.ts';
import { type Pass, passOf, type Tilers, type VaeOptions } from './pass.ts';
import { decoderStages, encoderStages } from './stages.ts';
import { runNow, tidied } from './work.ts';

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

type Result = ReturnType<Pass['start']> extends Generator<unknown, infer R> ? R : never;

export const encodePass = (p: VaeEncoder, image: Tensor4D, options: VaeOptions<string>, tilers: Tilers): Pass =>
  passOf(encoderStages(p), p.config, 'encode', image, options, tilers);

export const decodePass = (p: VaeDecoder, latents: Tensor4D, options: VaeOptions<string>, tilers: Tilers): Pass =>
  passOf(decoderStages(p), p.config, 'decode', latents, options, tilers);

/** What a pass of the encoder gives. */
export function encodedOf<Tap extends string>({ out, taps }: Result): Encoded<Tap> {
  try {
    return { posterior: distributionOf(out), taps: taps as Record<Tap, Tensor4D> };
  } catch (error) {
    dispose(taps);
    throw error;
  } finally {
    out.dispose();
  }
}

/** What a pass of the decoder gives. */
export const decodedOf = <Tap extends string>({ out, taps }: Result): Decoded<Tap> => ({
  image: out,
  taps: taps as Record<Tap, Tensor4D>,
});

/** Runs a pass of the encoder to its end. */
export const encodeNow = <Tap extends string>({ start }: Pass): Encoded<Tap> =>
  tidied(() => encodedOf<Tap>(runNow(start)));

/** Runs a pass of the decoder to its end. */
export const decodeNow = <Tap extends string>({ start }: Pass): Decoded<Tap> =>
  tidied(() => decodedOf<Tap>(runNow(start)));
