import type { ParamSource } from '@rass/nn';
import { type Checkpoint, type Loaded, type LoadOptions, loadParams } from '@rass/weights';
import type { Tensor4D } from '@tensorflow/tfjs-core';
import { swin } from './backbones/swin.ts';
import { parseSwinConfig, type SwinConfig, swinChannels } from './backbones/swin-config.ts';
import { type Swin, swinParams } from './backbones/swin-params.ts';
import { type Mask2FormerConfigOptions, type Mask2FormerHeadConfig, parseMask2FormerConfig } from './config.ts';
import type { MaskedDecoderOptions } from './decoder/decoder.ts';
import { type Mask2FormerHead, mask2FormerHead, mask2FormerHeadParams } from './head.ts';
import type { Mask2FormerOutput } from './outputs.ts';
import { tidied } from './tidied.ts';

/** Mask2Former with a Swin transformer as its backbone, as it is published. */
export interface Mask2Former {
  readonly backbone: Swin;
  readonly head: Mask2FormerHead;
}

export interface Mask2FormerConfig {
  readonly backbone: SwinConfig;
  readonly head: Mask2FormerHeadConfig;
}

/** What published files hold beside the parameters: a constant of the criterion, tables that are computed, and the norm of the backbone's use
 * as a classifier. */
const IDLE_KEYS = [
  'criterion.empty_weight',
  /relative_position_index$/,
  /^model\.pixel_level_module\.encoder\.(swin\.)?layernorm\./,
];

/** The parameters of the whole model, by Hugging Face's names. @source transformers Mask2FormerForUniversalSegmentation */
export function mask2FormerParams(from: ParamSource, { backbone, head }: Mask2FormerConfig): Mask2Former {
  return {
    backbone: swinParams(from.at('model.pixel_level_module.encoder'), backbone),
    head: mask2FormerHeadParams(from, head, swinChannels(backbone)),
  };
}

/** Loads a model that transformers has saved: its checkpoint, opened by @rass/weights, and its config.json, parsed.
 * A file of detectron2 goes through detectron2Names first.
 * @throws LoadError when keys are missing or unused and not allowed by name, or an error that names the config's field */
export function loadMask2Former(
  checkpoint: Checkpoint,
  config: unknown,
  options: LoadOptions & Mask2FormerConfigOptions = {},
): Promise<Loaded<Mask2Former>> {
  const head = parseMask2FormerConfig(config, options);
  const backbone = parseSwinConfig((config as { backbone_config?: unknown }).backbone_config ?? null, options);
  const allowUnused = [...IDLE_KEYS, ...(options.allowUnused ?? [])];
  return loadParams(checkpoint, (from) => mask2FormerParams(from, { backbone, head }), { ...options, allowUnused });
}

/** Classes and masks of the queries, from images.
 * @shape pixels [B, H, W, 3], normalised as preprocess does -> see Mask2FormerOutput, H and W of the masks a quarter, rounded up
 * @source Cheng et al. 2022, arXiv 2112.01527; golden/mask2former/model */
export function mask2Former(
  p: Mask2Former,
  pixels_BHWC: Tensor4D,
  options: MaskedDecoderOptions = {},
): Mask2FormerOutput {
  return tidied(() => mask2FormerHead(p.head, swin(p.backbone, pixels_BHWC), options));
}
