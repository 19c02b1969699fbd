import type { RgbImage } from '@rass/images';
import { type BackendInfo, DeviceError, selectBackend, trimBackendMemory } from '@rass/kernels';
import { openPipeline, type Pipeline } from '@rass/pipeline';
import { type ByteFolder, type PieceStore, urlFolder } from '@rass/weights';
import { memory } from '@tensorflow/tfjs-core';
import type {
  CallName,
  Calls,
  DeviceInfo,
  DeviceName,
  LabelledImage,
  OpenInput,
  RuntimeMemory,
  RuntimeProgress,
  SentImage,
  StoreInfo,
} from '../protocol/messages.ts';

/** What a call may do besides its result. */
export interface CallContext {
  readonly signal: AbortSignal;
  readonly tell: (progress: RuntimeProgress) => void;
}

type Handlers = {
  [Name in CallName]: (input: Calls[Name]['input'], context: CallContext) => Promise<Calls[Name]['output']>;
};

function deviceInfo(info: BackendInfo): DeviceInfo {
  const { software = false, threads, threadsReason } = info.capabilities;
  return {
    name: info.name as DeviceName,
    description: info.description,
    software,
    ...(info.name === 'wasm' && threads !== undefined && { threads }),
    ...(threadsReason !== undefined && { threadsReason }),
    // Native TensorFlow is for Node.
    reasons: (info.passedOver ?? []).flatMap(({ name, reason }) => (name === 'native' ? [] : [`${name}: ${reason}`])),
  };
}

/** Takes the device asked for, or the best that runs. Plain JavaScript is not taken in the place of a WebAssembly that could run and is not
 * served, or is forbidden: it would be slow for a reason that nobody is told.
 * @throws what keeps it from running */
async function takeDevice({ device, wasmPaths }: OpenInput): Promise<DeviceInfo> {
  const wasm = wasmPaths === undefined ? {} : { wasm: { paths: wasmPaths } };
  const info = await selectBackend(device, { ...wasm, gradients: false });
  const kept = info.name === 'cpu' ? info.passedOver?.find(({ name }) => name === 'wasm') : undefined;
  if (kept !== undefined && kept.code !== 'unsupported') {
    const message = `${kept.reason}; or choose the device "cpu", which is plain JavaScript and far slower`;
    throw Object.assign(new Error(message), { code: kept.code ?? 'load-failed' });
  }
  return deviceInfo(info);
}

interface Store {
  readonly info: StoreInfo;
  readonly store?: PieceStore;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The store asked for. @throws WeightsError `NoStore` where a page may not have it, unless it was left to us */
async function storeOf(kind: OpenInput['store']): Promise<Store> {
  if (kind === 'none') return { info: { name: 'none' } };
  try {
    const { cacheStore, filesStore } = await import('./kept.ts');
    const store = kind === 'files' ? await filesStore() : await cacheStore();
    return { store, info: { name: kind === 'files' ? 'files' : 'cache' } };
  } catch (error) {
    if (kind !== 'auto') throw error;
    return { info: { name: 'none', reason: messageOf(error) } };
  }
}

interface Folder {
  readonly folder: ByteFolder;
  readonly store: StoreInfo;
}

/** The model's files, verified and kept where there is a store. */
async function openFolder({ model, store: kind }: OpenInput, { signal, tell }: CallContext): Promise<Folder> {
  const { store, info } = await storeOf(kind);
  if (store === undefined) return { folder: urlFolder(model, { signal }), store: info };
  let reason: string | undefined;
  const { storedFolder } = await import('./kept.ts');
  const folder = await storedFolder(model, {
    store,
    signal,
    onProgress: (bytes) => tell({ stage: 'download', done: bytes.total === 0 ? 1 : bytes.loaded / bytes.total, bytes }),
    onStoreError: (error) => {
      reason ??= `runtime: the model's files are kept for the next visit; got "${messageOf(error)}"; free the browser's space for this site, or choose the store "none"`;
    },
  });
  await folder.fetchAll(signal);
  return { folder, store: reason === undefined ? info : { ...info, reason } };
}

const isLost = (error: unknown): boolean => error instanceof DeviceError && error.code === 'lost';

/** What a worker has open. */
interface Opened {
  readonly input: OpenInput;
  readonly device: DeviceInfo;
  readonly store: StoreInfo;
  readonly pipeline: Pipeline;
}

async function openModel(input: OpenInput, context: CallContext): Promise<Opened> {
  // What photographs are read with comes now: the first one may be given where there is no network any more.
  const [device] = await Promise.all([takeDevice(input), import('./pixels.ts')]);
  const { folder, store } = await openFolder(input, context);
  const { signal, tell } = context;
  tell({ stage: 'load', done: 0 });
  const { restore, segment } = input;
  const onProgress = (done: number): void => tell({ stage: 'load', done });
  const pipeline = await openPipeline(folder, { restore, segment, signal, onProgress });
  return { input, device, store, pipeline };
}

/** Of the smallest image, which every other is brought to a multiple of. */
const SIDE = 64;

/** Computes an empty image, for which the GPU compiles what it needs for others: a photograph then takes its own time alone. */
async function compile({ input, pipeline }: Opened, { signal, tell }: CallContext): Promise<void> {
  const { restore, segment } = input;
  const image = { width: SIDE, height: SIDE, data: new Uint8Array(3 * SIDE * SIDE) };
  const stages = [...(restore ? ['encode', 'restore', 'decode'] : []), ...(segment ? ['segment'] : [])];
  const onProgress = ({ stage, done }: Pick<RuntimeProgress, 'stage' | 'done'>): void =>
    tell({ stage: 'compile', done: (stages.indexOf(stage) + done) / stages.length });
  tell({ stage: 'compile', done: 0 });
  if (restore) await pipeline.restore(image, { signal, onProgress });
  if (segment) await pipeline.segment(image, { shortSide: SIDE, signal, onProgress });
}

/** What TensorFlow.js says of a GPU beside what it says of all backends. */
type Counted = ReturnType<typeof memory> & {
  readonly numBytesInGPU?: number;
  readonly numBytesAllocatedInGPU?: number;
};

function memoryNow(): RuntimeMemory {
  const { numTensors, numBytes, numBytesInGPU = 0, numBytesAllocatedInGPU = 0 } = memory() as Counted;
  return { tensors: numTensors, bytes: numBytes, gpuBytes: numBytesInGPU, gpuBytesAllocated: numBytesAllocatedInGPU };
}

const pixelsOf = async (image: SentImage): Promise<RgbImage> => (await import('./pixels.ts')).pixelsOf(image);

const LABELS = 256;

function labelled(data: Uint8Array, note: string | undefined): LabelledImage {
  const labels = new Uint8Array(data);
  const counts = new Array<number>(LABELS).fill(0);
  for (const label of labels) counts[label]! += 1;
  return { labels, counts, note };
}

/** The model that a worker has open, and what can be asked of it. `ownWasm`: where TensorFlow.js's files are, if a page does not say it. */
export function openSession(ownWasm?: OpenInput['wasmPaths']): Handlers {
  let opened: Opened | undefined;
  const close = (): void => {
    opened?.pipeline.dispose();
    opened = undefined;
  };
  /** Works with the model; where its device is lost, once more with the model on the device that there is then. */
  const using = async <T>(context: CallContext, work: (pipeline: Pipeline) => Promise<T>): Promise<T> => {
    if (opened === undefined) throw new Error('runtime: a model is opened first; got none; create the runtime anew');
    try {
      return await work(opened.pipeline);
    } catch (error) {
      if (!isLost(error)) throw error;
      const { input } = opened;
      context.tell({ stage: 'recover', done: 0 });
      close();
      opened = await openModel(input, context);
      context.tell({ stage: 'recover', done: 1, device: opened.device });
      return work(opened.pipeline);
    }
  };
  return {
    async open(input, context) {
      close();
      opened = await openModel(ownWasm === undefined ? input : { wasmPaths: ownWasm, ...input }, context);
      const { device, store, pipeline } = opened;
      if (input.compile && device.name === 'webgpu') await compile(opened, context);
      return { device, store, classes: pipeline.classes };
    },
    async restore({ image, ...options }, context) {
      const { signal, tell } = context;
      const pixels = await pixelsOf(image);
      const restored = await using(context, (model) => model.restore(pixels, { ...options, signal, onProgress: tell }));
      return { image: restored };
    },
    async segment({ image, ...options }, context) {
      const pixels = await pixelsOf(image);
      const { signal, tell } = context;
      let note: string | undefined;
      const onNote = (said: string): void => {
        note = said;
      };
      const all = { ...options, signal, onProgress: tell, onNote };
      const { data } = await using(context, (model) => model.segment(pixels, all));
      return labelled(data, note);
    },
    async attend({ image, tags }, context) {
      const pixels = await pixelsOf(image);
      return { maps: await using(context, (model) => model.attend(pixels, { tags })) };
    },
    async memory() {
      return memoryNow();
    },
    async close() {
      close();
      trimBackendMemory();
      return memoryNow();
    },
  };
}
