export type { Activation } from './activation.ts';
export type { Block } from './blocks.ts';
export type { ClassEmbedding, ClassLabels } from './class-embedding.ts';
export {
  type BlockAttentionConfig,
  type BlockConfig,
  type ClassConfig,
  parseUnetConfig,
  type UnetConfig,
  type UnetConfigOptions,
} from './config.ts';
export {
  type AttentionChoice,
  type AttentionName,
  attentionNames,
  levelSize,
  type Place,
  type TapName,
  tapNames,
} from './names.ts';
export type { Resnet } from './resnet.ts';
export {
  type NoiseScheduleConfig,
  type Prediction,
  parseScheduleConfig,
  type ScheduleConfigOptions,
} from './schedule/config.ts';
export {
  addNoise,
  type CleanAndNoise,
  convertPrediction,
  type OneStepOptions,
  oneStepUpdate,
  type SampleAndPrediction,
  type ScheduleTimestep,
  velocity,
} from './schedule/mixing.ts';
export { type NoiseSchedule, noiseSchedule } from './schedule/noise-schedule.ts';
export { type DdimOptions, ddimStep, ddpmStep, type NoiseSource, type StepResult } from './schedule/sampling.ts';
export { ddimSteps, ddpmSteps, type SamplingStep, timesteps } from './schedule/timesteps.ts';
export type { Timestep, TimestepEmbedding } from './time-embedding.ts';
export type { SpatialTransformer, TransformerBlock } from './transformer.ts';
export { type Unet, type UnetInputs, type UnetResult, unet, unetParams } from './unet.ts';
