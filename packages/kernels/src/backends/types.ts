import type { BackendErrorCode } from './errors.ts';

/** The backends, in the order in which `auto` prefers them. */
export const BACKEND_NAMES = ['native', 'webgpu', 'wasm', 'cpu'] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

/** What a backend can do on this machine. Fields that do not apply to it are absent. */
export interface BackendCapabilities {
  /** Compute threads; absent where the device decides. */
  threads?: number;
  /** Why wasm computes with one thread in a browser, and what to do about it. */
  threadsReason?: string;
  /** Whether wasm runs its 128-bit vector build. */
  simd?: boolean;
  /** Whether shaders may compute in float16. Storage in float16 needs no feature. */
  f16?: boolean;
  subgroups?: boolean;
  timestamps?: boolean;
  /** Whether the GPU adapter is a program on the CPU; `auto` never takes one. */
  software?: boolean;
  /** Largest single tensor in bytes, where the device sets one. */
  maxTensorBytes?: number;
  /** The device's own limits, by their WebGPU names. */
  limits?: Readonly<Record<string, number>>;
}

/** A backend that is in use. */
export interface BackendInfo {
  name: BackendName;
  /** The name under which TensorFlow.js knows it: `native` is `tensorflow` there. */
  engineName: string;
  /** One line for people: library, version, device. */
  description: string;
  /** What computes: a GPU's name, or `cpu`. */
  device: string;
  version: string;
  capabilities: BackendCapabilities;
  /** Of `auto`: the backends that would have been taken first, each with what kept it from starting. */
  passedOver?: readonly PassedOver[];
}

/** A backend that `auto` could not take. */
export interface PassedOver {
  readonly name: BackendName;
  /** Of a BackendError. */
  readonly code: BackendErrorCode | undefined;
  readonly reason: string;
}

/** One line of `listBackends`: a backend that can be had, or why not. */
export type BackendStatus =
  | ({ available: true; reason?: undefined } & Omit<BackendInfo, 'engineName'>)
  | { available: false; name: BackendName; reason: string };

/** Choices of the WebGPU backend. */
export interface WebgpuOptions {
  /** Limits to ask for instead of the adapter's own, e.g. to try a smaller device. */
  limits?: Readonly<Record<string, number>>;
  powerPreference?: 'high-performance' | 'low-power';
  /** Let small tensors be computed on the CPU, as TensorFlow.js does by default; off here, so that a choice is kept. */
  cpuForward?: boolean;
  /** Compute with the shaders of this package where there is one; default true. Off, TensorFlow.js's own compute: to compare. */
  fused?: boolean;
  /** Bytes of freed GPU buffers that are kept for the next tensors of the same size; the rest goes back. */
  poolBytes?: number;
  /** Allow `dataSync` in browsers, which cannot notice a failed computation. */
  syncReads?: boolean;
  /** Node only: toggles for Dawn, e.g. `backend=vulkan`. */
  dawn?: readonly string[];
}

/** Choices of the wasm backend. */
export interface WasmOptions {
  /** Where the .wasm files are served: a folder's URL ending in `/`, or a URL per file name. Node finds its own. */
  paths?: string | Record<string, string>;
  /** Threads in a cross-origin isolated page: at most, and by default, half of the cores up to 8. They load the file
   * tfjs-backend-wasm-threaded-simd.js, where it is served beside the .wasm files (it is in `wasm-out/` of TensorFlow.js's package); else
   * the text of a function, which minifiers may break: a minified bundle without that file has 1 unless more are asked for. */
  threads?: number;
}

/** Choices of selectBackend. */
export interface SelectOptions {
  /** Whether gradients are registered; default true. A page that only runs a model need not load them. */
  gradients?: boolean;
  webgpu?: WebgpuOptions;
  wasm?: WasmOptions;
  /** Node only: where the native backend was installed, if not in the default cache. */
  cacheDir?: string;
}
