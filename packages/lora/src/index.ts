export { type AdapterChoice, type AdapterSummary, describeAdapters, removeAdapter, useAdapters } from './active.ts';
export { type AddOptions, addAdapter } from './add-adapter.ts';
export {
  COMBINE_METHODS,
  type CombineMethod,
  type CombineOptions,
  combineAdapters,
} from './algebra/combine.ts';
export { biasDelta, scaleOf, type UpdatedWeightOptions, updateDelta, updatedWeight } from './algebra/delta.ts';
export { DORA_RULES, type DoraRule } from './algebra/dora.ts';
export { type Extracted, type ExtractOptions, extractAdapter } from './algebra/extract.ts';
export type { SignMethod } from './algebra/prune.ts';
export {
  type ConvertOptions,
  convertToLora,
  type RankRule,
  type Resized,
  type ResizedLayer,
  type ResizeOptions,
  resizeAdapter,
} from './algebra/resize.ts';
export { type LoraConfig, type LoraInit, type LoraOptions, loraConfig } from './config.ts';
export { adapterState, addAdapterState, type MergeStateOptions, mergeState } from './convert.ts';
export { adapterComponents } from './files/components.ts';
export {
  type AdapterComponent,
  type AdapterDescription,
  type AdapterKind,
  describeAdapter,
} from './files/describe-adapter.ts';
export { type OpenAdapterOptions, type OpenedAdapter, openAdapter, readAdapter } from './files/open-adapter.ts';
export { isFactorKey } from './files/parts.ts';
export { parsePeftConfig, toPeftConfig } from './files/peft-config.ts';
export { AdapterFileError, type AdapterFormat, type AdapterReport, type AlphaSource } from './files/report.ts';
export { layerShapes, type WrongShape } from './files/shapes.ts';
export { type AdapterFile, encodeAdapter, type WriteAdapterOptions } from './files/write-adapter.ts';
export { type MergeOptions, mergeAdapters, mergeAndUnload, unloadAdapters, unmergeAdapters } from './merge.ts';
export { type AdapterFactors, adapterFactors, type FileAdapter, mergeFactors } from './merge-factors.ts';
export { adapterNames } from './names.ts';
export type {
  AdapterState,
  DiffUpdate,
  HostTensor,
  LayerUpdate,
  LohaUpdate,
  LokrUpdate,
  LoraUpdate,
} from './state.ts';
export { type LayerNumbers, matchTargets, type TargetLayer } from './targets.ts';
export { type TrainOptions, trainAdapters, withDropout } from './train.ts';
