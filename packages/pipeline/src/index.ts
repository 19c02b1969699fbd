export { PipelineError } from './error.ts';
export { latentsOf } from './images/latents.ts';
export { imageBatch, imagesOf } from './images/tensors.ts';
export { loadStageFrom, restoringUnet, segmentingUnet, stageLeaves } from './model/load-stage.ts';
export { type Model, type ModelOptions, openModel } from './model/open.ts';
export {
  type RestorationStage,
  readStages,
  type SegmentationStage,
  STAGES_FILE,
  type Stages,
  stageLora,
} from './model/stages.ts';
export { type TextModel, textModel } from './model/text-model.ts';
export { openPipeline, type Pipeline, type PipelineOptions } from './pipeline.ts';
export type { TagAttention } from './tags/attention.ts';
export {
  type ClassArea,
  classAreas,
  namesOf,
  openTagger,
  type Shown,
  type TagChoice,
  type Tagger,
} from './tags/taggers.ts';
export type { ColourFix, RestoreOptions, RestoreProgress } from './tasks/restore.ts';
export type { SegmentOptions, SegmentProgress } from './tasks/segment.ts';
