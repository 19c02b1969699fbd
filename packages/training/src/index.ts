export { type EpochSampler, epochSampler, type SampledBatch, type SamplerOptions } from './data/epoch-sampler.ts';
export { type MapAheadOptions, mapAhead } from './data/map-ahead.ts';
export { type GradientSum, gradientSum } from './optimizer/accumulate.ts';
export { type AdamWOptions, adamW } from './optimizer/adamw.ts';
export { type AverageOptions, type ExponentialAverage, exponentialAverage } from './optimizer/average.ts';
export {
  clipGradientValues,
  type GradientNorm,
  type GradientNormOptions,
  gradientNorm,
} from './optimizer/gradient-norm.ts';
export type { Optimizer, OptimizerStep } from './optimizer/optimizer.ts';
export {
  describeGroups,
  type GroupDefaults,
  type GroupRule,
  groupedVariables,
  type ParameterGroup,
  parameterGroups,
} from './optimizer/parameter-groups.ts';
export { type SgdOptions, sgd } from './optimizer/sgd.ts';
export { type MemoryUse, type Progress, progressLine } from './progress/progress-line.ts';
export { measureRate, type StepRate, stepsPerSecond } from './progress/step-rate.ts';
export {
  type CosineOptions,
  constantSchedule,
  cosineSchedule,
  type LinearOptions,
  linearSchedule,
  type MultiStepOptions,
  multiStepSchedule,
  type PolynomialOptions,
  polynomialSchedule,
  type Schedule,
  type SchedulePart,
  sequentialSchedule,
  type WarmUpOptions,
  type WarmUpPolynomialOptions,
  warmUpPolynomialSchedule,
  withWarmUp,
} from './schedule/schedule.ts';
export type { Stateful } from './stateful.ts';
