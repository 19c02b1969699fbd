import type { RuntimeRule } from './rules.ts';

/** Red, green and blue from 0 to 255, interleaved, row by row. */
export interface PixelImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
  /** How opaque each pixel is, 0 to 255; without it all are opaque. */
  readonly alpha?: Uint8Array;
}

/** Which colours a restored photograph takes from the bad one: each channel's mean and spread, its low frequencies, or none. */
export type ColourFix = 'none' | 'adain' | 'wavelet';

/** Where a model looked for a tag. */
export interface TagMap {
  readonly tag: string;
  /** Of the map, which has far fewer cells than the image has pixels. */
  readonly width: number;
  readonly height: number;
  /** For each cell, row by row, the tag's share of the attention to all tags, from 0 to 1. */
  readonly values: Float32Array;
}

/** What computes. */
export type DeviceName = 'webgpu' | 'wasm' | 'cpu';

/** What was chosen to compute, and why nothing better was. */
export interface DeviceInfo {
  readonly name: DeviceName;
  /** One line for people. */
  readonly description: string;
  /** Whether the GPU is a program on the CPU. */
  readonly software: boolean;
  /** Of wasm: how many compute. */
  readonly threads?: number;
  /** Why wasm computes with one thread, and what to do about it. */
  readonly threadsReason?: string;
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

/** Where a model's files are kept: the Cache API, the origin private file system, or only as long as they are read. */
export type StoreName = 'cache' | 'files' | 'none';

/** Where the model's files are kept for the next visit. */
export interface StoreInfo {
  readonly name: StoreName;
  /** Why not all is kept, or not where it was to be. */
  readonly reason?: string;
}

/** A model of which files are kept. */
export interface StoredModel {
  /** Its folder's address. */
  readonly model: string;
  /** Of all its files. */
  readonly bytes: number;
  /** Of those that are here. */
  readonly keptBytes: number;
}

export interface OpenInput {
  readonly model: string;
  readonly device: DeviceName | 'auto';
  readonly store: StoreName | 'auto';
  readonly restore: boolean;
  readonly segment: boolean;
  /** Whether a GPU's programs are compiled before the first image. */
  readonly compile: boolean;
  /** Where TensorFlow.js's .wasm files are: a folder's URL, or one for each file. */
  readonly wasmPaths?: string | Readonly<Record<string, string>>;
}

/** Pixels with alpha. */
export interface SentRgba {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8Array;
}

/** Pixels, or a picture that the worker reads them of, so that the page does not wait for it. */
export type SentImage = PixelImage | SentRgba | ImageBitmap;

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
  readonly longSide?: number;
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

/** What was opened. */
export interface Opened {
  readonly device: DeviceInfo;
  readonly classes: readonly ModelClass[];
  readonly store: StoreInfo;
}

export interface LabelledImage {
  readonly labels: Uint8Array<ArrayBuffer>;
  /** How many pixels have each label. */
  readonly counts: readonly number[];
  /** Where the photograph was seen smaller than was asked for. */
  readonly note?: string | undefined;
}

/** What a page asks of the worker, and what it gets. */
export interface Calls {
  open: { input: OpenInput; output: Opened };
  restore: { input: RestoreInput; output: { readonly image: PixelImage } };
  segment: { input: SegmentInput; output: LabelledImage };
  attend: { input: AttendInput; output: { readonly maps: readonly TagMap[] } };
  memory: { input: null; output: RuntimeMemory };
  /** Gives what is left, which is nothing. */
  close: { input: null; output: RuntimeMemory };
}
export type CallName = keyof Calls;

export type CallMessage<K extends CallName = CallName> = {
  [Name in K]: { readonly id: number; readonly call: Name; readonly input: Calls[Name]['input'] };
}[K];
/** An error as it can be sent. */
export interface SentError {
  readonly name: string;
  readonly message: string;
  readonly rule: RuntimeRule;
}

export type Answer =
  | { readonly id: number; readonly kind: 'progress'; readonly progress: RuntimeProgress }
  | { readonly id: number; readonly kind: 'done'; readonly output: unknown }
  | { readonly id: number; readonly kind: 'failed'; readonly error: SentError };

/** One end of a wire: a Worker, a worker's own scope, a MessagePort. */
export interface Endpoint {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: string, listener: (event: MessageEvent) => void): void;
  removeEventListener(type: string, listener: (event: MessageEvent) => void): void;
  /** Of a MessagePort. */
  start?(): void;
}
