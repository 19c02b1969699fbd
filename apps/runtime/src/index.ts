export { Attention, type FoundClass, Picture, Segmentation } from './client/results.ts';
export type {
  RestoreOptions,
  Runtime,
  RuntimeOptions,
  SegmentOptions,
  WorkOptions,
} from './client/runtime.ts';
export type { ImageSource, TensorLike } from './client/sources.ts';
export { createRuntime } from './create-runtime.ts';
export { RuntimeError } from './protocol/errors.ts';
export type {
  ColourFix,
  DeviceInfo,
  DeviceName,
  ModelClass,
  PixelImage,
  RuntimeMemory,
  RuntimeProgress,
  StoredModel,
  StoreInfo,
  StoreName,
  TagMap,
} from './protocol/messages.ts';
export { RULES, type RuntimeRule } from './protocol/rules.ts';
export { removeStored, type StoredOptions, storedModels } from './stored-models.ts';
