export type { ExactTiling } from './bands/exact.ts';
export { parseVaeConfig, type VaeConfig, type VaeConfigOptions } from './config.ts';
export {
  klDivergence,
  type LatentDistribution,
  type LatentNoise,
  negativeLogLikelihood,
  sampleLatents,
} from './distribution.ts';
export { scaleLatents, unscaleLatents } from './latents.ts';
export {
  type AttentionBlock,
  type Decoder,
  type DownBlock,
  type Encoder,
  type MidBlock,
  type Resnet,
  type UpBlock,
  type Vae,
  type VaeDecoder,
  type VaeEncoder,
  vaeDecoderParams,
  vaeEncoderParams,
  vaeParams,
} from './params.ts';
export type { VaeOptions } from './pass.ts';
export type { Decoded, Encoded } from './passes.ts';
export { type TapName, tapNames } from './taps.ts';
export type { BlendTiling } from './tiles.ts';
export { vaeDecode, vaeEncode } from './vae.ts';
export { type VaeAsyncOptions, vaeDecodeAsync, vaeEncodeAsync } from './vae-async.ts';
export { vaeEncodeWhole } from './vae-whole.ts';
export type { Progress } from './work.ts';
