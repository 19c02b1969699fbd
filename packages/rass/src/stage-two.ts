import { addAdapter, type LoraOptions } from '@rass/lora';
import { type Mask2FormerHead, type Mask2FormerHeadConfig, mask2FormerHeadParams } from '@rass/mask2former';
import { namedTensors, type ParamSource } from '@rass/nn';
import type { Unet } from '@rass/unet';
import { type FeatureFusion, type FeatureFusionConfig, featureFusionParams, fusedChannels } from './features/fusion.ts';

/** The UNet's weights that RASS's adapters are on: all convolutions and projections but the last convolution.
 * @source github.com/Ka1Guan/RASS Generator_with_pretrain.unet_lora */
const TARGETS = [
  ...['to_k', 'to_q', 'to_v', 'to_out.0', 'conv', 'conv1', 'conv2', 'conv_in', 'conv_shortcut'],
  ...['proj_out', 'proj_in', 'ff.net.2', 'ff.net.0.proj'],
];
const PLACES = {
  encoder: '(down_blocks\\..*|conv_in)',
  decoder: 'up_blocks\\..*',
  others: '(?!down_blocks|up_blocks|conv_in).*',
} as const;

export interface SegLoraOptions {
  /** Default 4. */
  readonly rank?: number;
  /** Default 8, PEFT's: an adapter of rank 4 acts doubled. */
  readonly alpha?: number;
  readonly seed?: number;
  /** Where the adapters' tensors come from: shapes alone, to count them. */
  readonly from?: ParamSource;
}

/** RASS's three adapters by name: of the way down, of the way up, and of the rest. */
export type SegLoraPart = keyof typeof PLACES;

function segLoraOptions(part: SegLoraPart, { rank = 4, alpha = 8 }: SegLoraOptions): LoraOptions {
  const endings = TARGETS.map((name) => name.replaceAll('.', '\\.')).join('|');
  return { targets: `(?=${PLACES[part]}$)(.*\\.)?(${endings})`, rank, alpha, init: 'gaussian' };
}

/** The UNet with a fresh Seg LoRA: three adapters, `default_encoder_s2`, `default_decoder_s2` and `default_others_s2`, which change nothing
 * at first. @source github.com/Ka1Guan/RASS Generator_with_pretrain.unet_lora */
export async function addSegLora(unet: Unet, options: SegLoraOptions = {}): Promise<Unet> {
  let tree = unet;
  for (const part of Object.keys(PLACES) as SegLoraPart[]) {
    const { seed, from } = options;
    tree = await addAdapter(tree, segLoraOptions(part, options), { name: `default_${part}_s2`, seed, from });
  }
  return tree;
}

/** What stage 2 trains beside the adapters: the feature fusion and the head. */
export interface RassHead {
  readonly fusion: FeatureFusion;
  readonly head: Mask2FormerHead;
}

/** The parameters of the fusion, below `backbone.feature_extractor`, and of the head, by Hugging Face's names. */
export function rassHeadParams(
  from: ParamSource,
  head: Mask2FormerHeadConfig,
  fusion: FeatureFusionConfig = {},
): RassHead {
  return {
    fusion: featureFusionParams(from.at('backbone.feature_extractor'), fusion),
    head: mask2FormerHeadParams(from, head, fusedChannels(fusion)),
  };
}

const IN_ADAPTER = /\.lora_[AB]\./;
const CONV_IN = /^conv_in\.(weight|bias)$/;

/** Whether stage 2 trains this tensor of the UNet: of the adapters all, of the UNet itself its first convolution. */
export const isTrainedInStageTwo = (unetKey: string): boolean => IN_ADAPTER.test(unetKey) || CONV_IN.test(unetKey);

/** How many numbers stage 2 trains. */
export function countStageTwo(unet: Unet, { fusion, head }: RassHead): number {
  const ofUnet = namedTensors(unet).filter(({ key }) => isTrainedInStageTwo(key));
  return [...ofUnet, ...namedTensors(fusion), ...namedTensors(head)].reduce((sum, { tensor }) => sum + tensor.size, 0);
}
