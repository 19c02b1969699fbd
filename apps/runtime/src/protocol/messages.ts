import type { RgbImage } from '@rass/images';
import type { SelectOptions } from '@rass/kernels';
import type { ColourFix, TagAttention } from '@rass/pipeline';

/** What computes. */
export type DeviceName = 'webgpu' | 'wasm' | 'cpu';

/** What was chosen to compute, and why nothing better was. */
export interface DeviceInfo {
  readonly name: DeviceName;
  /** One line for people. */
  readonly description: string;
  /** Whether the GPU is a program on the CPU. */
  readonly software: boolean;
  /** For each device that would have been taken first, why it could not be had. */
  readonly reasons: readonly string[];
}

/** How far something has come. */
export interface RuntimeProgress {
  /** `download`: the model's files, from the network or from the store. `load`: onto the device. `compile`: the GPU's programs, by means of an
   * empty image. `encode`, `restore` by tiles and `decode`, or `segment` by windows: an image. `recover`: the device was lost, and the work
   * begins once more on what there is now. */
  readonly stage: 'download' | 'load' | 'compile' | 'recover' | 'encode' | 'restore' | 'decode' | 'segment';
  /** Of the stage, from 0 to 1. */
  readonly done: number;
  /** Of a download. */
  readonly bytes?: { readonly loaded: number; readonly total: number; readonly fromStore: number };
  /** Of a recovery at its end: what computes from now on. */
  readonly device?: DeviceInfo;
}

export interface ModelClass {
  readonly name: string;
  readonly colour: readonly [red: number, green: number, blue: number];
}

export interface OpenInput {
  readonly model: string;
  readonly device: DeviceName | 'auto';
  /** Where the model's files are kept: the Cache API, the origin private file system, or only as long as they are read. */
  readonly store: 'cache' | 'files' | 'none';
  readonly restore: boolean;
  readonly segment: boolean;
  /** Whether a GPU's programs are compiled before the first image. */
  readonly compile: boolean;
  readonly backends: Pick<SelectOptions, 'wasm' | 'webgpu'>;
}

/** Pixels, or a picture that the worker reads them of, so that the page does not wait for it. */
export type SentImage = RgbImage | ImageBitmap;

export interface RestoreInput {
  readonly image: SentImage;
  readonly tags: readonly string[];
  readonly upscale: number;
  readonly colourFix: ColourFix;
  readonly tiling: { readonly size?: number; readonly overlap?: number };
}

export interface SegmentInput {
  readonly image: SentImage;
  readonly tags: readonly string[];
  readonly shortSide?: number;
  readonly flip: boolean;
  readonly scales: readonly number[];
}

export interface AttendInput {
  readonly image: SentImage;
  readonly tags: readonly string[];
}

/** What a worker holds. */
export interface RuntimeMemory {
  readonly tensors: number;
  /** Of all tensors as float32, wherever they are; weights that stay as they are stored take less. */
  readonly bytes: number;
  /** Of the tensors that are on a GPU; 0 where nothing is. */
  readonly gpuBytes: number;
  /** With the buffers that are kept there for the next tensors of their sizes. */
  readonly gpuBytesAllocated: number;
}

/** What a page asks of the worker, and what it gets. */
export interface Calls {
  open: { input: OpenInput; output: { readonly device: DeviceInfo; readonly classes: readonly ModelClass[] } };
  restore: { input: RestoreInput; output: { readonly image: RgbImage } };
  segment: { input: SegmentInput; output: { readonly labels: Uint8Array<ArrayBuffer> } };
  attend: { input: AttendInput; output: { readonly maps: readonly TagAttention[] } };
  memory: { input: null; output: RuntimeMemory };
  /** Gives what is left, which is nothing. */
  close: { input: null; output: RuntimeMemory };
}
export type CallName = keyof Calls;

export type CallMessage<K extends CallName = CallName> = {
  [Name in K]: { readonly id: number; readonly call: Name; readonly input: Calls[Name]['input'] };
}[K];
/** Ends a call that is under way or waits. */
export interface AbortMessage {
  readonly id: number;
  readonly call: 'abort';
}
export type Request = CallMessage | AbortMessage;

/** An error as it can be sent. */
export interface SentError {
  readonly name: string;
  readonly message: string;
  /** Of WeightsError and the like: the broken rule, for programs. */
  readonly rule?: string;
}

export type Answer =
  | { readonly id: number; readonly kind: 'progress'; readonly progress: RuntimeProgress }
  | { readonly id: number; readonly kind: 'done'; readonly output: unknown }
  | { readonly id: number; readonly kind: 'failed'; readonly error: SentError };

/** One end of a wire: a Worker, a worker's own scope, a MessagePort. */
export interface Endpoint {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
  removeEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
  /** Of a MessagePort. */
  start?(): void;
}
