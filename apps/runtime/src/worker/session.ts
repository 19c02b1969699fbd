import { type BackendInfo, DeviceError, listBackends, selectBackend, trimBackendMemory } from '@rass/kernels';
import { openPipeline, type Pipeline } from '@rass/pipeline';
import { type ByteFolder, cacheStore, directoryStore, type PieceStore, storedFolder, urlFolder } from '@rass/weights';
import { memory } from '@tensorflow/tfjs-core';
import type {
  CallName,
  Calls,
  DeviceInfo,
  DeviceName,
  OpenInput,
  RuntimeMemory,
  RuntimeProgress,
} from '../protocol/messages.ts';
import { pixelsOf } from './pixels.ts';

/** What a call may do besides its result. */
export interface CallContext {
  readonly signal: AbortSignal;
  readonly tell: (progress: RuntimeProgress) => void;
}

type Handlers = {
  [Name in CallName]: (input: Calls[Name]['input'], context: CallContext) => Promise<Calls[Name]['output']>;
};

/** Best first, without what is for Node. */
const ORDER: readonly DeviceName[] = ['webgpu', 'wasm', 'cpu'];

function deviceInfo(info: BackendInfo, reasons: readonly string[]): DeviceInfo {
  return {
    name: info.name as DeviceName,
    description: info.description,
    software: info.capabilities.software ?? false,
    reasons,
  };
}

/** Takes the device asked for, or the best that runs. */
async function takeDevice({ device, backends }: OpenInput): Promise<DeviceInfo> {
  const info = await selectBackend(device, { ...backends, gradients: false });
  const before = ORDER.slice(0, ORDER.indexOf(info.name as DeviceName));
  if (device !== 'auto' || before.length === 0) return deviceInfo(info, []);
  const statuses = await listBackends(backends);
  const reasons = before.flatMap((name) => {
    const status = statuses.find((each) => each.name === name);
    if (status === undefined) return [];
    return [status.available ? `${name}: ${status.description}, which is slower` : `${name}: ${status.reason}`];
  });
  return deviceInfo(info, reasons);
}

async function storeOf(kind: OpenInput['store']): Promise<PieceStore | undefined> {
  if (kind === 'none') return undefined;
  if (kind === 'cache') return cacheStore();
  const root = await navigator.storage.getDirectory();
  return directoryStore(await root.getDirectoryHandle('rass-weights', { create: true }));
}

/** The model's files, verified and kept where there is a store. */
async function openFolder({ model, store: kind }: OpenInput, { signal, tell }: CallContext): Promise<ByteFolder> {
  const store = await storeOf(kind);
  if (store === undefined) return urlFolder(model, { signal });
  const folder = await storedFolder(model, {
    store,
    signal,
    onProgress: (bytes) => tell({ stage: 'download', done: bytes.total === 0 ? 1 : bytes.loaded / bytes.total, bytes }),
  });
  await folder.fetchAll(signal);
  return folder;
}

const isLost = (error: unknown): boolean => error instanceof DeviceError && error.code === 'lost';

/** What a worker has open. */
interface Opened {
  readonly input: OpenInput;
  readonly device: DeviceInfo;
  readonly pipeline: Pipeline;
}

async function openModel(input: OpenInput, context: CallContext): Promise<Opened> {
  const device = await takeDevice(input);
  const folder = await openFolder(input, context);
  const { signal, tell } = context;
  tell({ stage: 'load', done: 0 });
  const { restore, segment } = input;
  const onProgress = (done: number): void => tell({ stage: 'load', done });
  const pipeline = await openPipeline(folder, { restore, segment, signal, onProgress });
  return { input, device, pipeline };
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

/** The model that a worker has open, and what can be asked of it. */
export function openSession(): Handlers {
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
      opened = await openModel(input, context);
      if (input.compile && opened.device.name === 'webgpu') await compile(opened, context);
      return { device: opened.device, classes: opened.pipeline.classes };
    },
    async restore({ image, ...options }, context) {
      const { signal, tell } = context;
      const pixels = pixelsOf(image);
      const restored = await using(context, (model) => model.restore(pixels, { ...options, signal, onProgress: tell }));
      return { image: restored };
    },
    async segment({ image, ...options }, context) {
      const pixels = pixelsOf(image);
      const { signal, tell } = context;
      const { data } = await using(context, (model) => model.segment(pixels, { ...options, signal, onProgress: tell }));
      return { labels: new Uint8Array(data) };
    },
    async attend({ image, tags }, context) {
      const pixels = pixelsOf(image);
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
