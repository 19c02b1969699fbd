import { type Mask2FormerHead, type Mask2FormerHeadConfig, mask2FormerHeadParams } from '@rass/mask2former';
import { namedTensors, type ParamSource } from '@rass/nn';
import type { Unet } from '@rass/unet';
import { isTrainedInStage } from './adapters.ts';
import { type FeatureFusion, type FeatureFusionConfig, featureFusionParams, fusedChannels } from './features/fusion.ts';

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

/** How many numbers stage 2 trains. */
export function countStageTwo(unet: Unet, { fusion, head }: RassHead): number {
  const ofUnet = namedTensors(unet).filter(({ key }) => isTrainedInStage(key));
  return [...ofUnet, ...namedTensors(fusion), ...namedTensors(head)].reduce((sum, { tensor }) => sum + tensor.size, 0);
}
