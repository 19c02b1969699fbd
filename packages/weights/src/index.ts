export {
  type Checkpoint,
  type QuantizedData,
  type ReadOptions,
  type ReadPartOptions,
  readFloat32,
  type TensorData,
  type TensorInfo,
  type TensorPart,
} from './checkpoint.ts';
export { type CheckpointDescription, describeCheckpoint } from './describe.ts';
export {
  type DiffusersComponent,
  type DiffusersFolder,
  type DiffusersFolderOptions,
  openDiffusersFolder,
  type TokenizerFiles,
} from './diffusers-folder.ts';
export { toFloat32 } from './dtype/decode.ts';
export { byteLengthOf, DTYPES, type Dtype, type TensorArray } from './dtype/dtype.ts';
export { type EncodableDtype, fromFloat32 } from './dtype/encode.ts';
export { WeightsError } from './error.ts';
export { toHwio, toOihw } from './load/layout.ts';
export { type KeyNames, type Loaded, type LoadOptions, type LoadProgress, loadParams } from './load/load-params.ts';
export { LoadError, type LoadReport } from './load/report.ts';
export { paramSpecs, type SaveOptions, saveParams } from './load/save-params.ts';
export { type OpenOptions, openCheckpoint } from './open.ts';
export { PickleError, type PickleRule } from './pickle/pickle-error.ts';
export { type AffineCodes, type AffineOptions, dequantizeAffine, quantizeAffine } from './quantized/affine.ts';
export { quantizedCheckpoint } from './quantized/view.ts';
export { canQuantize, quantizedSpecs, writeQuantized } from './quantized/write.ts';
export {
  invertRenaming,
  type RenameRule,
  type RenameStep,
  type Renaming,
  renameKeys,
  type Unmatched,
} from './rename/rules.ts';
export { renamedCheckpoint, selectPrefix, type ViewEntry, viewCheckpoint } from './rename/view.ts';
export { openSafetensors } from './safetensors/read.ts';
export { SafetensorsError, type SafetensorsRule } from './safetensors/safetensors-error.ts';
export { type ShardOptions, type SinkMaker, startShardedSafetensors } from './safetensors/shards.ts';
export {
  encodeSafetensors,
  type Named,
  startSafetensors,
  type TensorToWrite,
  type WriteOptions,
  writeSafetensors,
} from './safetensors/write.ts';
export { shardFiles } from './sharded.ts';
export { type ByteSink, type MemorySink, memorySink } from './sink/byte-sink.ts';
export { type ByteSource, blobSource, bufferSource } from './source/byte-source.ts';
export { type ByteFolder, blobFolder, readJson, urlFolder } from './source/folder.ts';
export { parseJson } from './source/parse-json.ts';
export { fetchFile, type UrlSourceOptions, urlSource } from './source/url-source.ts';
export {
  type StableDiffusionFile,
  type StableDiffusionFileOptions,
  splitStableDiffusion,
  stableDiffusionTensors,
} from './stable-diffusion/single-file.ts';
export { type UnetLevels, unetLevels, unetRenaming } from './stable-diffusion/unet-names.ts';
export { OLD_VAE_ATTENTION, vaeLevels, vaeRenaming } from './stable-diffusion/vae-names.ts';
export { type KeptFolder, listKept, removeKept } from './stored/kept.ts';
export {
  MANIFEST_FILE,
  type Manifest,
  type ManifestFile,
  type ManifestOptions,
  makeManifest,
  parseManifest,
} from './stored/manifest.ts';
export {
  type StoredFolder,
  type StoredFolderOptions,
  type StoredProgress,
  storedFolder,
} from './stored/stored-folder.ts';
export { cacheStore, directoryStore, filesStore, memoryStore, type PieceStore } from './stored/stores.ts';
export { openTorch, type TorchCheckpoint, type TorchOptions } from './torch/open.ts';
export type { TensorSpec, TensorWriter } from './writer.ts';
