import type {
  ColourFix,
  DeviceInfo,
  DeviceName,
  Endpoint,
  ModelClass,
  Opened,
  OpenInput,
  RuntimeMemory,
  RuntimeProgress,
  StoreInfo,
  StoreName,
} from '../protocol/messages.ts';
import { addressOf } from './address.ts';
import { Caller, type CallOptions } from './calls.ts';
import { Attention, Picture, Segmentation } from './results.ts';
import { type ImageSource, sendable } from './sources.ts';
import { startWorker, type WorkerSource } from './start-worker.ts';

/** How an image is worked on. */
export interface WorkOptions {
  /** What the photograph shows, for the prompt; default nothing. */
  readonly tags?: readonly string[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RuntimeProgress) => void;
}

export interface RestoreOptions extends WorkOptions {
  /** How many times larger; default 1. */
  readonly upscale?: number;
  /** Which colours the restored photograph takes from the bad one; default adain. */
  readonly colourFix?: ColourFix;
  /** Of large photographs, in latents: the side of the tiles and what they have in common. */
  readonly tiling?: { readonly size?: number; readonly overlap?: number };
}

export interface SegmentOptions extends WorkOptions {
  /** The shorter side as the model sees it; default what it was trained with. */
  readonly shortSide?: number;
  /** The longer side at most, for which the shorter one is made less; default four times the shorter side. */
  readonly longSide?: number;
  /** Also the mirror image, averaged. */
  readonly flip?: boolean;
  /** Also these sizes, averaged; default [1]. */
  readonly scales?: readonly number[];
}

export interface RuntimeOptions {
  /** The URL of a model's folder, as `rass export` writes it. */
  readonly model: string | URL;
  /** Default `auto`: a GPU by WebGPU, else wasm, else plain JavaScript, where the browser has neither. */
  readonly device?: DeviceName | 'auto';
  /** What is loaded; default both. */
  readonly tasks?: readonly ('restore' | 'segment')[];
  /** Where the model's files stay for the next visit; default the Cache API where the page has one, else nowhere. */
  readonly store?: StoreName;
  /** Whether a GPU's programs are compiled as the model is opened, rather than with the first photograph; default true. */
  readonly compile?: boolean;
  /** Where TensorFlow.js's .wasm files are served, a folder's URL, if not beside the worker. */
  readonly wasmPaths?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RuntimeProgress) => void;
  /** The worker's address, or who makes it, where the bundler does not find it. */
  readonly worker?: WorkerSource;
}

/** A model in a worker. */
export interface Runtime {
  /** What computes now: after the loss of a GPU it may be another. */
  readonly device: DeviceInfo;
  /** Where the model's files are kept for the next visit, and why not where they are not. */
  readonly store: StoreInfo;
  readonly classes: readonly ModelClass[];
  /** @throws RuntimeError, or the signal's reason */
  restore(image: ImageSource, options?: RestoreOptions): Promise<Picture>;
  /** @throws RuntimeError, or the signal's reason */
  segment(image: ImageSource, options?: SegmentOptions): Promise<Segmentation>;
  /** Where the model looks for each tag. @throws RuntimeError, or the signal's reason */
  attend(image: ImageSource, options: WorkOptions & { readonly tags: readonly string[] }): Promise<Attention>;
  /** What the worker holds: tensors and their bytes, and what they take on a GPU. */
  memory(): Promise<RuntimeMemory>;
  /** Frees everything at once, ends a worker that is busy, and fails what is under way. */
  dispose(): Promise<void>;
}

const optionsOf = ({ signal, onProgress }: WorkOptions): CallOptions => ({
  ...(signal && { signal }),
  ...(onProgress && { onProgress }),
});

/** Until a worker that is not busy has freed what it holds. */
const CLOSING_MS = 200;

class OpenRuntime implements Runtime {
  device: DeviceInfo;
  readonly store: StoreInfo;
  readonly classes: readonly ModelClass[];
  readonly #caller: Caller;
  readonly #stop: () => void;

  constructor(caller: Caller, opened: Opened, stop: () => void) {
    this.#caller = caller;
    this.#stop = stop;
    this.device = opened.device;
    this.store = opened.store;
    this.classes = opened.classes;
  }

  #optionsOf({ signal, onProgress }: WorkOptions): CallOptions {
    return {
      ...(signal && { signal }),
      onProgress: (progress) => {
        this.device = progress.device ?? this.device;
        onProgress?.(progress);
      },
    };
  }

  async restore(source: ImageSource, options: RestoreOptions = {}): Promise<Picture> {
    const { tags = [], upscale = 1, colourFix = 'adain', tiling = {}, signal } = options;
    const { image, transfer } = await sendable(source, signal);
    // Copies: a framework's proxies cannot be sent.
    const input = { image, tags: [...tags], upscale, colourFix, tiling: { ...tiling } };
    const output = await this.#caller.call('restore', input, { ...this.#optionsOf(options), transfer });
    return new Picture(output.image);
  }

  async segment(source: ImageSource, options: SegmentOptions = {}): Promise<Segmentation> {
    const { tags = [], shortSide, longSide, flip = false, scales = [1], signal } = options;
    const { image, width, height, transfer } = await sendable(source, signal);
    const sides = { ...(shortSide !== undefined && { shortSide }), ...(longSide !== undefined && { longSide }) };
    const input = { image, tags: [...tags], flip, scales: [...scales], ...sides };
    const labelled = await this.#caller.call('segment', input, { ...this.#optionsOf(options), transfer });
    return new Segmentation({ width, height }, labelled, this.classes);
  }

  async attend(source: ImageSource, options: WorkOptions & { readonly tags: readonly string[] }): Promise<Attention> {
    const { image, width, height, transfer } = await sendable(source, options.signal);
    const input = { image, tags: [...options.tags] };
    const { maps } = await this.#caller.call('attend', input, { ...this.#optionsOf(options), transfer });
    return new Attention({ width, height }, maps);
  }

  memory(): Promise<RuntimeMemory> {
    return this.#caller.call('memory', null);
  }

  async dispose(): Promise<void> {
    this.#caller.abandon();
    const closing = this.#caller.call('close', null).catch(() => undefined);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const enough = new Promise((resolve) => {
      timer = setTimeout(resolve, CLOSING_MS);
    });
    await Promise.race([closing, enough]);
    clearTimeout(timer);
    this.#caller.end();
    this.#stop();
  }
}

function inputOf(options: RuntimeOptions): OpenInput {
  const { model, device = 'auto', tasks = ['restore', 'segment'], store = 'auto', compile = true, wasmPaths } = options;
  const wasm = wasmPaths === undefined ? undefined : addressOf('wasmPaths', wasmPaths);
  return {
    model: addressOf('model', model),
    device,
    store,
    restore: tasks.includes('restore'),
    segment: tasks.includes('segment'),
    compile,
    ...(wasm !== undefined && { wasmPaths: wasm.endsWith('/') ? wasm : `${wasm}/` }),
  };
}

/** Opens a model over a wire to a worker that serves. */
export async function openRuntime(endpoint: Endpoint, options: RuntimeOptions, stop: () => void): Promise<Runtime> {
  const caller = new Caller(endpoint);
  try {
    return new OpenRuntime(caller, await caller.call('open', inputOf(options), optionsOf(options)), stop);
  } catch (error) {
    caller.end();
    stop();
    throw error;
  }
}

/** Starts a worker and opens a model in it. `own`: the worker where none is given. */
export async function startRuntime(options: RuntimeOptions, own: WorkerSource): Promise<Runtime> {
  options.signal?.throwIfAborted();
  const worker = startWorker(options.worker ?? own);
  return openRuntime(worker, options, () => worker.terminate());
}
