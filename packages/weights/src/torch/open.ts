import { type Checkpoint, type ReadOptions, tensorNotFound } from '../checkpoint.ts';
import { AllowList } from '../pickle/allow-list.ts';
import { PickleBudget } from '../pickle/budget.ts';
import { readPickle } from '../pickle/interpreter.ts';
import type { PickleContext } from '../pickle/machine.ts';
import { PickleError } from '../pickle/pickle-error.ts';
import { PickleStream } from '../pickle/stream.ts';
import { storageOfId } from '../pickle/torch-builders.ts';
import { describeValue, LazyBytes, type PyValue, TorchStorage } from '../pickle/values.ts';
import { type ByteSource, bufferSource, sliceSource } from '../source/byte-source.ts';
import { findRoot, flattenTensors, shortened, type TensorValue, toPlain, valueAt } from './flatten.ts';
import { looksLikeZip } from './start.ts';
import { legacyStorages, type StorageBytes, type StorageFinder, zipStorages } from './storages.ts';
import { readStrided, type StridedTensor } from './strided.ts';
import { loadBytes, resolveTensor } from './tensors.ts';
import { openZip } from './zip.ts';

/** How a PyTorch file is read. */
export interface TorchOptions extends ReadOptions {
  /** The dict that holds the tensors, such as `state_dict`. Left out, it is found where there is only one;
   * '' takes the whole file, with paths such as `state_dict.conv.weight`. */
  root?: string;
  /** Further classes, by full name, to let through as data that means nothing where the rule is `GlobalRefused`: `argparse.Namespace`, for example. */
  inertGlobals?: Iterable<string>;
}

/** A PyTorch file. */
export interface TorchCheckpoint extends Checkpoint {
  /** The dict whose tensors the keys are of; '' for the whole file. */
  readonly root: string;
  /** Everything in the file as plain objects, arrays and numbers, each tensor as its type and shape. */
  readonly value: unknown;
}

interface Opened {
  format: string;
  value: PyValue;
  find: StorageFinder;
  /** Where the pickle lies that `value` comes from. */
  pickle: ByteSource;
}

// torch/serialization.py: MAGIC_NUMBER and PROTOCOL_VERSION.
const MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_VERSION = 1001;
// PyTorch itself packs no pickle.
const MAX_UNPACKED_PICKLE = 1 << 25;

/** What may be in a file's pickles. */
type Limits = Pick<PickleContext, 'allowList' | 'budget'>;

async function openTorchZip(source: ByteSource, limits: Limits, signal?: AbortSignal): Promise<Opened> {
  const archive = await openZip(source, signal);
  const pickles = archive.names.filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const folder = pickles[0]?.slice(0, -'/data.pkl'.length);
  const isScript = archive.names.some((name) => name.endsWith('/constants.pkl'));
  if (folder === undefined || pickles.length > 1 || isScript) {
    const got = isScript ? 'a TorchScript program; save its state_dict()' : `${archive.names.slice(0, 5).join(', ')}`;
    throw new PickleError(
      'UnsupportedFormat',
      `${source.name}: a PyTorch zip holds one folder with data.pkl; got ${got}`,
    );
  }
  let bigEndian = false;
  if (archive.has(`${folder}/byteorder`)) {
    const file = await archive.open(`${folder}/byteorder`, 64, signal);
    const order = new TextDecoder().decode(await file.read(0, Math.min(64, file.size), signal));
    if (order !== 'little' && order !== 'big') {
      throw new PickleError('BadStructure', `${source.name}: the byte order is little or big; got "${order}"`);
    }
    bigEndian = order === 'big';
  }
  const pickle = await archive.open(pickles[0], MAX_UNPACKED_PICKLE, signal);
  const value = await readPickle(new PickleStream(pickle, 0, signal), { ...limits, persistent: storageOfId }, signal);
  return { format: 'torch zip', value, find: zipStorages(source.name, archive, folder, bigEndian), pickle };
}

/** Remembers how long each storage is that persistent ids name. */
function collectStorages(where: string, sizes: Map<string, number>): (id: PyValue) => TorchStorage {
  return (id) => {
    const storage = storageOfId(id);
    const { key, rootByteLength } = storage;
    if (typeof key === 'string' && rootByteLength !== undefined) {
      if ((sizes.get(key) ?? rootByteLength) !== rootByteLength) {
        throw new PickleError('BadTensor', `${where}: a storage has one length; got two for "${key}"`);
      }
      sizes.set(key, rootByteLength);
    }
    return storage;
  };
}

/** The rest of a file of the older kind, behind its magic number. */
async function openLegacy(
  source: ByteSource,
  stream: PickleStream,
  limits: Limits,
  signal?: AbortSignal,
): Promise<Opened> {
  const version = await readPickle(stream, limits, signal);
  if (version !== LEGACY_VERSION) {
    const got = describeValue(version);
    throw new PickleError('UnsupportedFormat', `${source.name}: the older format has version 1001; got ${got}`);
  }
  // What the saving machine was; the storages are little-endian whatever it says.
  await readPickle(stream, limits, signal);
  const sizes = new Map<string, number>();
  const value = await readPickle(stream, { ...limits, persistent: collectStorages(source.name, sizes) }, signal);
  const keys = await readPickle(stream, limits, signal);
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string')) {
    throw new PickleError('BadStructure', `${source.name}: the storages are listed by key; got ${describeValue(keys)}`);
  }
  const find = legacyStorages(source, stream.position, keys, sizes);
  return { format: 'torch legacy', value, find, pickle: source };
}

// What opening one costs beside its own steps.
const STEPS_A_FILE = 1000;

/** A storage inside a plain pickle is a whole file of the older kind whose value is that storage. */
function nestedStorages(source: ByteSource, limits: Limits, signal?: AbortSignal): StorageFinder {
  const known = new Map<TorchStorage, Promise<StorageBytes>>();
  const open = async ({ key }: TorchStorage): Promise<StorageBytes> => {
    if (typeof key === 'string')
      throw new PickleError('BadStructure', `${source.name}: a plain pickle has no storages`);
    const isRange = key instanceof LazyBytes && key.encoding === 'raw';
    const file = isRange
      ? sliceSource(source, key.start, key.end)
      : bufferSource(await loadBytes(key, source, signal), source.name);
    const stream = new PickleStream(file, 0, signal);
    limits.budget.step(STEPS_A_FILE);
    const magic = await readPickle(stream, limits, signal);
    const inner = magic === MAGIC ? await openLegacy(file, stream, limits, signal) : undefined;
    if (inner?.value instanceof TorchStorage) return inner.find(inner.value);
    throw new PickleError(
      'BadStructure',
      `${source.name}: a storage inside a pickle is a file of one; got something else`,
    );
  };
  return (storage) => {
    const found = known.get(storage) ?? open(storage);
    known.set(storage, found);
    return found;
  };
}

async function openTorchStream(source: ByteSource, limits: Limits, signal?: AbortSignal): Promise<Opened> {
  const stream = new PickleStream(source, 0, signal);
  const first = await readPickle(stream, limits, signal);
  if (first === MAGIC) return openLegacy(source, stream, limits, signal);
  if (stream.position !== source.size) {
    const rest = source.size - stream.position;
    throw new PickleError('BadStructure', `${source.name}: a plain pickle fills its file; got ${rest} more bytes`);
  }
  return { format: 'pickle', value: first, find: nestedStorages(source, limits, signal), pickle: source };
}

/** The numbers and texts beside the tensors, as text. */
function metadataOf(value: PyValue): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null);
  if (!(value instanceof Map)) return metadata;
  for (const [key, entry] of value) {
    if (typeof key !== 'string' || entry === null || typeof entry === 'object') continue;
    metadata[key] = String(entry);
  }
  return metadata;
}

function describeTensor(value: TensorValue, tensors: Map<TensorValue, StridedTensor>): unknown {
  const known = tensors.get(value);
  return known === undefined ? { shape: value.shape } : { dtype: known.dtype, shape: known.shape };
}

/** Reads a PyTorch file: zip or older format, or a plain pickle of tensors or numpy arrays. Nothing in it is run, and what
 * imports a name outside a fixed list is refused by that name. Tensors are read when they are asked for.
 * @throws PickleError, whose `rule` says why */
export async function openTorch(source: ByteSource, options: TorchOptions = {}): Promise<TorchCheckpoint> {
  const { signal } = options;
  const { name } = source;
  const limits: Limits = { allowList: new AllowList(options.inertGlobals), budget: new PickleBudget(name, signal) };
  const { budget } = limits;
  const first = await source.read(0, Math.min(4, source.size), signal);
  const opened = looksLikeZip(first)
    ? await openTorchZip(source, limits, signal)
    : await openTorchStream(source, limits, signal);
  const root = options.root ?? findRoot(opened.value);
  const values = flattenTensors(name, valueAt(name, opened.value, root), budget);
  const tensors = new Map<string, StridedTensor>();
  const byValue = new Map<TensorValue, StridedTensor>();
  for (const [key, value] of values) {
    const turn = budget.turn();
    if (turn !== undefined) await turn;
    const tensor = await resolveTensor(`${name}: tensor "${shortened(key)}"`, value, opened.find, opened.pickle);
    tensors.set(key, tensor);
    byValue.set(value, tensor);
  }
  const tensorOf = (key: string): StridedTensor => {
    const tensor = tensors.get(key);
    if (tensor === undefined) throw tensorNotFound(name, key, tensors.keys());
    return tensor;
  };
  return {
    name,
    format: opened.format,
    metadata: metadataOf(opened.value),
    root,
    value: toPlain(opened.value, (value) => describeTensor(value, byValue), budget),
    keys: () => [...tensors.keys()],
    has: (key) => tensors.has(key),
    info(key) {
      const { dtype, shape } = tensorOf(key);
      return { dtype, shape };
    },
    async read(key, readOptions) {
      const tensor = tensorOf(key);
      return { dtype: tensor.dtype, shape: tensor.shape, data: await readStrided(tensor, readOptions?.signal) };
    },
    close: () => source.close(),
  };
}
