export { createDawn } from './backends/dawn.ts';
export { BackendError } from './backends/errors.ts';
export { cacheFolder } from './backends/native/cache.ts';
export { downloadFile, hashMismatch, sha256OfFile } from './backends/native/download.ts';
export type { Downloader } from './backends/native/fetch-wheels.ts';
export {
  type InstallOptions,
  installNativeBackend,
  isNativeInstalled,
  type NativeInstall,
} from './backends/native/install.ts';
export {
  describeNative,
  inspectNativeBackend,
  loadNativeBackend,
  type NativeInfo,
} from './backends/native/load.ts';
export { type Fetching, type IndexFile, indexUrlOf, listFiles } from './backends/native/package-index.ts';
export type { InstallProgress } from './backends/native/progress.ts';
export { wasmFolder } from './backends/wasm-folder.ts';
