import { type RestorationStage, type SegmentationStage, stageLora } from '@rass/pipeline';

/** A stage's adapters, for people. */
export function loraText(stage: RestorationStage | SegmentationStage): string {
  const lora = stageLora(stage);
  return lora === undefined ? 'merged' : `rank ${lora.rank}, alpha ${lora.alpha}`;
}
