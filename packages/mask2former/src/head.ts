import type { ParamSource } from '@rass/nn';
import type { FeaturePyramid, PyramidChannels } from './backbones/pyramid.ts';
import type { Mask2FormerHeadConfig } from './config.ts';
import { type MaskedDecoderOptions, maskedDecoder } from './decoder/decoder.ts';
import { type MaskedDecoder, maskedDecoderParams } from './decoder/params.ts';
import type { Mask2FormerOutput } from './outputs.ts';
import { type PixelDecoder, pixelDecoderParams } from './pixel-decoder/params.ts';
import { pixelDecoder } from './pixel-decoder/pixel-decoder.ts';
import { tidied } from './tidied.ts';

/** The parameters of Mask2Former but for its backbone. */
export interface Mask2FormerHead {
  readonly pixelDecoder: PixelDecoder;
  readonly decoder: MaskedDecoder;
}

const LEVEL_NAMES = ['res2', 'res3', 'res4', 'res5'] as const;

/** The parameters of the head, by Hugging Face's names, for features with these channels. @source transformers
 * Mask2FormerForUniversalSegmentation: model.pixel_level_module.decoder, model.transformer_module, class_predictor */
export function mask2FormerHeadParams(
  from: ParamSource,
  config: Mask2FormerHeadConfig,
  channels: PyramidChannels,
): Mask2FormerHead {
  const transformer = from.at('model.transformer_module');
  return {
    pixelDecoder: pixelDecoderParams(from.at('model.pixel_level_module.decoder'), config, channels),
    decoder: maskedDecoderParams({ transformer, classes: from.at('class_predictor') }, config),
  };
}

function checkPyramid(p: Mask2FormerHead, features: FeaturePyramid): void {
  const { inputProjections, lateral } = p.pixelDecoder;
  const convs = [lateral.conv, inputProjections[2].conv, inputProjections[1].conv, inputProjections[0].conv];
  for (const [i, name] of LEVEL_NAMES.entries()) {
    const { rank, shape } = features[name];
    const channels = convs[i].weight.shape[2];
    if (rank !== 4 || shape[3] !== channels || shape[0] !== features.res2.shape[0] || shape[0] === 0) {
      throw new Error(
        `mask2FormerHead: ${name} is [B, H, W, ${channels}], B the same for all levels and not 0; got [${shape}]; check the backbone`,
      );
    }
  }
}

/** Classes and masks of the queries, from a backbone's features.
 * @shape see FeaturePyramid and Mask2FormerOutput @throws when a level's shape does not fit the head
 * @source Cheng et al. 2022, arXiv 2112.01527; golden/mask2former/model */
export function mask2FormerHead(
  p: Mask2FormerHead,
  features: FeaturePyramid,
  options: MaskedDecoderOptions = {},
): Mask2FormerOutput {
  checkPyramid(p, features);
  return tidied(() => maskedDecoder(p.decoder, pixelDecoder(p.pixelDecoder, features), options));
}
