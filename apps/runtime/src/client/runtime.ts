import type { ColourFix } from '@rass/pipeline';
import { RuntimeError } from '../protocol/errors.ts';
import type {
  DeviceInfo,
  DeviceName,
  Endpoint,
  ModelClass,
  OpenInput,
  RuntimeMemory,
  RuntimeProgress,
} from '../protocol/messages.ts';
import { Caller, type CallOptions } from './calls.ts';
import { Attention, Picture, Segmentation } from './results.ts';
import { type ImageSource, sendable } from './sources.ts';

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
  /** Also the mirror image, averaged. */
  readonly flip?: boolean;
  /** Also these sizes, averaged; default [1]. */
  readonly scales?: readonly number[];
}

export interface RuntimeOptions {
  /** The URL of a model's folder, as `rass export` writes it. */
  readonly model: string | URL;
  /** Default `auto`: a GPU by WebGPU, else wasm, else plain JavaScript. */
  readonly device?: DeviceName | 'auto';
  /** What is loaded; default both. */
  readonly tasks?: readonly ('restore' | 'segment')[];
  /** Where the model's files stay for the next visit; default the Cache API. */
  readonly store?: OpenInput['store'];
  /** Whether a GPU's programs are compiled as the model is opened, rather than with the first photograph; default true. */
  readonly compile?: boolean;
  /** Where the page serves TensorFlow.js's .wasm files: a folder's URL. */
  readonly wasmPaths?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RuntimeProgress) => void;
  /** The worker, for pages whose bundler wants to make it itself. */
  readonly worker?: () => Worker;
}

/** A model in a worker. */
export interface Runtime {
  /** What computes now: after the loss of a GPU it may be another. */
  readonly device: DeviceInfo;
  readonly classes: readonly ModelClass[];
  /** @throws RuntimeError, or the signal's reason */
  restore(image: ImageSource, options?: RestoreOptions): Promise<Picture>;
  /** @throws RuntimeError, or the signal's reason */
  segment(image: ImageSource, options?: SegmentOptions): Promise<Segmentation>;
  /** Where the model looks for each tag. @throws RuntimeError, or the signal's reason */
  attend(image: ImageSource, options: WorkOptions & { readonly tags: readonly string[] }): Promise<Attention>;
  /** What the worker holds: tensors and their bytes, and what they take on a GPU. */
  memory(): Promise<RuntimeMemory>;
  /** Frees everything; what is under way fails. */
  dispose(): Promise<void>;
}

const optionsOf = ({ signal, onProgress }: WorkOptions): CallOptions => ({
  ...(signal && { signal }),
  ...(onProgress && { onProgress }),
});

class OpenRuntime implements Runtime {
  device: DeviceInfo;
  readonly classes: readonly ModelClass[];
  readonly #caller: Caller;
  readonly #stop: () => void;

  constructor(caller: Caller, opened: { device: DeviceInfo; classes: readonly ModelClass[] }, stop: () => void) {
    this.#caller = caller;
    this.#stop = stop;
    this.device = opened.device;
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
    const { tags = [], shortSide, flip = false, scales = [1], signal } = options;
    const { image, width, height, transfer } = await sendable(source, signal);
    const input = { image, tags: [...tags], flip, scales: [...scales], ...(shortSide !== undefined && { shortSide }) };
    const { labels } = await this.#caller.call('segment', input, { ...this.#optionsOf(options), transfer });
    return new Segmentation({ width, height }, labels, this.classes);
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
    await this.#caller.call('close', null).catch(() => undefined);
    this.#caller.end();
    this.#stop();
  }
}

/** Opens a model over a wire to a worker that serves. */
export async function openRuntime(endpoint: Endpoint, options: RuntimeOptions, stop: () => void): Promise<Runtime> {
  const {
    model,
    device = 'auto',
    tasks = ['restore', 'segment'],
    store = 'cache',
    compile = true,
    wasmPaths,
  } = options;
  const caller = new Caller(endpoint);
  const base = globalThis.location?.href;
  try {
    const input: OpenInput = {
      model: new URL(model, base).href,
      device,
      store,
      restore: tasks.includes('restore'),
      segment: tasks.includes('segment'),
      compile,
      backends: { ...(wasmPaths !== undefined && { wasm: { paths: new URL(wasmPaths, base).href } }) },
    };
    return new OpenRuntime(caller, await caller.call('open', input, optionsOf(options)), stop);
  } catch (error) {
    caller.end();
    stop();
    throw error;
  }
}

const ownWorker = (): Worker => new Worker(new URL('../worker/worker.js', import.meta.url), { type: 'module' });

/** Starts a worker and opens a model in it: what it needs is fetched, verified and kept for the next visit.
 * @throws RuntimeError, or the signal's reason; nothing is left behind then */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  const worker = (options.worker ?? ownWorker)();
  const broken = new Promise<never>((_, reject) => {
    worker.addEventListener('error', ({ message }) => {
      reject(
        new RuntimeError(
          'WorkerFailed',
          `runtime: its worker starts; got "${message || 'no reason'}"; serve the worker's file, and allow it by the page's policy`,
        ),
      );
    });
  });
  return Promise.race([openRuntime(worker, options, () => worker.terminate()), broken]);
}
