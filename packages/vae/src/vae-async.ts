import type { Tensor4D } from '@tensorflow/tfjs-core';
import type { VaeDecoder, VaeEncoder } from './params.ts';
import { type Tilers, tilingOf, type VaeOptions } from './pass.ts';
import { type Decoded, decodedOf, decodePass, type Encoded, encodedOf, encodePass } from './passes.ts';
import { type AsyncOptions, runPass } from './work.ts';

/** What an asynchronous pass takes: gradients cannot be taken through one. */
export type VaeAsyncOptions<Tap extends string = never> = Omit<VaeOptions<Tap>, 'checkpointing'> & AsyncOptions;

/** Only large images are cut, so that what cuts them is loaded with the first. */
async function tilersFor(options: VaeOptions<string>): Promise<Tilers> {
  switch (tilingOf(options)?.kind) {
    case 'exact':
      return { exact: (await import('./bands/exact.ts')).exactPlan };
    case 'blend':
      return { blend: (await import('./tiles.ts')).blendPlan };
    default:
      return {};
  }
}

/** vaeEncode in pieces, with a pause after each (a block, a band or a block of a tile), so that a page or a server
 * stays alive; with progress, and a signal to stop it. @throws also the signal's reason; nothing is left behind then */
export async function vaeEncodeAsync<Tap extends string = never>(
  p: VaeEncoder,
  image_BHWC: Tensor4D,
  options: VaeAsyncOptions<Tap> = {},
): Promise<Encoded<Tap>> {
  const { start, cost } = encodePass(p, image_BHWC, options, await tilersFor(options));
  return encodedOf(await runPass(start, cost, options));
}

/** vaeDecode in pieces, as vaeEncodeAsync. @throws also the signal's reason; nothing is left behind then */
export async function vaeDecodeAsync<Tap extends string = never>(
  p: VaeDecoder,
  latents_BhwC: Tensor4D,
  options: VaeAsyncOptions<Tap> = {},
): Promise<Decoded<Tap>> {
  const { start, cost } = decodePass(p, latents_BhwC, options, await tilersFor(options));
  return decodedOf(await runPass(start, cost, options));
}
