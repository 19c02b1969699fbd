import type { Checkpoint } from './checkpoint.ts';
import { WeightsError } from './error.ts';
import { QUANTIZATION } from './quantized/key.ts';
import { openSafetensors } from './safetensors/read.ts';
import { type ByteSource, blobSource, bufferSource } from './source/byte-source.ts';
import { type ByteFolder, urlFolder } from './source/folder.ts';
import { type UrlSourceOptions, urlSource } from './source/url-source.ts';
import type { TorchOptions } from './torch/open.ts';
import { looksLikeZip } from './torch/start.ts';

/** How a checkpoint is opened; the HTTP options count for URLs, the PyTorch ones for PyTorch files. */
export interface OpenOptions extends TorchOptions, UrlSourceOptions {
  /** Where the shards lie, for an index that is not a URL. */
  folder?: ByteFolder;
}

// Formats that are met under a checkpoint's name and are not read, by their first bytes.
const OTHER_FORMATS: readonly (readonly [start: string, name: string])[] = [
  ['GGUF', 'GGUF'],
  ['\x89HDF\r\n\x1a\n', 'HDF5 (Keras .h5)'],
  ['\x93NUMPY', 'numpy .npy'],
  ['\x1f\x8b', 'gzip; unpack it first'],
  ['version https://git-lfs', 'a Git LFS pointer; fetch the file itself'],
  ['<', 'a web page or XML; the download went wrong'],
];

// A byte order mark, as latin-1 characters, and white space.
const LEADING = /^(\xef\xbb\xbf)?\s*/;

/** Whether a file starts as a safetensors file: a plausible length, then an object. */
function looksLikeSafetensors(first: Uint8Array): boolean {
  if (first.length < 9) return false;
  const high = first[4] | first[5] | first[6] | first[7];
  return high === 0 && [0x7b, 0x20, 0x09, 0x0a, 0x0d].includes(first[8]);
}

// What a pickle can start with: a protocol, or protocol 0's and 1's first steps.
const looksLikePickle = (first: Uint8Array): boolean =>
  first[0] === 0x80 || ['(', ']', '}', 'c', ')'].includes(String.fromCharCode(first[0] ?? 0));

/** What reads pickles is large, and a page with safetensors never loads it. */
async function openPickled(source: ByteSource, options: OpenOptions): Promise<Checkpoint> {
  const { openTorch } = await import('./torch/open.ts');
  return openTorch(source, options);
}

/** Quantized tensors are expanded as they are read. What a checkpoint has of them its files say, each in its metadata. */
async function expanded(checkpoint: Checkpoint, metadata = [checkpoint.metadata]): Promise<Checkpoint> {
  const texts = metadata.flatMap(({ [QUANTIZATION]: text }) => (text === undefined ? [] : [text]));
  if (texts.length === 0) return checkpoint;
  try {
    const { quantizedCheckpoint } = await import('./quantized/view.ts');
    return quantizedCheckpoint(checkpoint, texts);
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** `isShard`: an index that named an index, itself even, would never end; and the parts of a quantized tensor may lie in any shard. */
async function openDetected(source: ByteSource, options: OpenOptions, isShard = false): Promise<Checkpoint> {
  const first = await source.read(0, Math.min(32, source.size), options.signal);
  const text = String.fromCharCode(...first);
  const other = OTHER_FORMATS.find(([start]) => text.replace(LEADING, '').startsWith(start));
  // The name counts only where the content does not say: so that a damaged file is refused for its damage.
  if (looksLikeZip(first)) return openPickled(source, options);
  const safetensors = async (): Promise<Checkpoint> => {
    const checkpoint = await openSafetensors(source, options.signal);
    return isShard ? checkpoint : expanded(checkpoint);
  };
  if (looksLikeSafetensors(first)) return safetensors();
  if (other === undefined && !isShard && /^\s*\{\s*"/.test(text)) return openIndex(source, options);
  if (other === undefined && looksLikePickle(first)) return openPickled(source, options);
  if (other === undefined && /\.safetensors(\?|$)/.test(source.name)) return safetensors();
  throw new WeightsError(
    'UnknownFormat',
    `${source.name}: a checkpoint is safetensors, a PyTorch zip or pickle, or a shard index; got ${other?.[1] ?? describeStart(first)}`,
  );
}

function describeStart(first: Uint8Array): string {
  if (first.length === 0) return 'an empty file';
  const hex = [...first.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0'));
  return `a file that starts with ${hex.join(' ')}`;
}

async function openIndex(source: ByteSource, options: OpenOptions): Promise<Checkpoint> {
  const folder = options.folder;
  const isUrl = /^[a-z][a-z0-9+.-]+:\/\//i.test(source.name);
  if (folder === undefined && !isUrl) {
    throw new WeightsError('NoFolder', `${source.name}: an index needs its shards; got no folder; pass options.folder`);
  }
  const shards = folder ?? urlFolder(new URL('.', source.name), options);
  const { openSharded } = await import('./sharded.ts');
  const sharded = await openSharded(source, shards, (shard) => openDetected(shard, options, true), options.signal);
  const { shardMetadata, ...checkpoint } = sharded;
  return expanded(checkpoint, [...shardMetadata]);
}

/** Opens a checkpoint of any kind that is read, told by its content: safetensors, PyTorch zip or older format, a pickle of
 * tensors or arrays, or the index of a sharded one. Nothing but headers is read. A text is a URL; `@rass/weights/node` takes paths.
 * @throws SafetensorsError, PickleError or WeightsError, whose `rule` says why */
export async function openCheckpoint(
  from: string | URL | Blob | ArrayBuffer | Uint8Array | ByteSource,
  options: OpenOptions = {},
): Promise<Checkpoint> {
  const source = await sourceOf(from, options);
  try {
    return await openDetected(source, options);
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function sourceOf(
  from: string | URL | Blob | ArrayBuffer | Uint8Array | ByteSource,
  options: OpenOptions,
): Promise<ByteSource> {
  if (from instanceof Blob) return blobSource(from);
  if (from instanceof ArrayBuffer || from instanceof Uint8Array) return bufferSource(from);
  if (from instanceof URL) return urlSource(from, options);
  if (typeof from !== 'string') return from;
  if (/^(https?|blob|data):/i.test(from)) return urlSource(from, options);
  const base = globalThis.location?.href;
  if (base === undefined) {
    throw new WeightsError(
      'NotAUrl',
      `openCheckpoint: a text is a URL; got "${from}"; for files import openCheckpoint from @rass/weights/node`,
    );
  }
  return urlSource(new URL(from, base), options);
}
