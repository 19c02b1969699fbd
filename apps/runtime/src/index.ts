export type { ColourFix, TagAttention } from '@rass/pipeline';
export { Attention, type FoundClass, Picture, Segmentation } from './client/results.ts';
export {
  createRuntime,
  type RestoreOptions,
  type Runtime,
  type RuntimeOptions,
  type SegmentOptions,
  type WorkOptions,
} from './client/runtime.ts';
export type { ImageSource, TensorLike } from './client/sources.ts';
export { RuntimeError } from './protocol/errors.ts';
export type { DeviceInfo, DeviceName, ModelClass, RuntimeMemory, RuntimeProgress } from './protocol/messages.ts';
