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
export type { BlendTiling, ExactTiling, VaeOptions } from './pass.ts';
export { type TapName, tapNames } from './taps.ts';
export {
  type Decoded,
  type Encoded,
  type VaeAsyncOptions,
  vaeDecode,
  vaeDecodeAsync,
  vaeEncode,
  vaeEncodeAsync,
} from './vae.ts';
export type { Progress } from './work.ts';
