import { closest } from '@rass/nn';
import { toFloat32 } from './dtype/decode.ts';
import type { Dtype, TensorArray } from './dtype/dtype.ts';
import { WeightsError } from './error.ts';

/** What a checkpoint says of a tensor before it is read. */
export interface TensorInfo {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** A tensor's elements, row-major, in the file's own type. */
export interface TensorData extends TensorInfo {
  readonly data: TensorArray;
}

export interface ReadOptions {
  signal?: AbortSignal;
}

/** Which elements of a tensor are read: row-major, from number `start` up to `start + count`. */
export interface TensorPart {
  readonly start: number;
  readonly count: number;
}

export interface ReadPartOptions extends ReadOptions {
  /** Where the bytes are put: as many as the elements take, at a multiple of their size. What is read is a view of it. */
  into?: Uint8Array<ArrayBuffer>;
}

/** A quantized tensor as it is stored: rows of codes, one for each output, with the scales and biases of their groups. The last group of
 * a row may be filled up past the row's end. */
export interface QuantizedData {
  readonly bits: 4 | 8;
  readonly groupSize: 32 | 64 | 128;
  /** Packed from the lowest bits up. [rows, whole groups * bits / 32] */
  readonly codes: Uint32Array<ArrayBuffer>;
  /** Of float16, as their bits; value = scale * code + bias. [rows, groups] */
  readonly scales: Uint16Array<ArrayBuffer>;
  readonly biases: Uint16Array<ArrayBuffer>;
}

/** Named tensors, whatever the format. Nothing but the names, types and shapes is in memory until it is read. */
export interface Checkpoint {
  /** The file, URL or folder, for messages. */
  readonly name: string;
  /** `safetensors`, `torch zip`, `torch legacy`, `pickle`, `sharded`, or what a view of another one says. */
  readonly format: string;
  /** The text that the file carries beside its tensors. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every tensor's key, in the file's order: reading in this order reads the file forwards. */
  keys(): string[];
  has(key: string): boolean;
  /** @throws WeightsError `TensorNotFound`, naming the closest keys */
  info(key: string): TensorInfo;
  /** How many bytes the tensor takes, where that is not what its type and shape say: quantized ones. */
  storedBytes?(key: string): number;
  /** The elements as they are stored: BF16 and F16 as their bits. @throws like info, or when the file is damaged */
  read(key: string, options?: ReadOptions): Promise<TensorData>;
  /** Some of the elements, as read() gives them; absent where the format keeps no tensor in one
   * piece. Types of less than a byte are read whole. @throws like read, or WeightsError `RangeOutside` */
  readPart?(key: string, part: TensorPart, options?: ReadPartOptions): Promise<TensorArray>;
  /** A quantized tensor that read() would expand; undefined for another, and where its scales are not of float16. @throws like read */
  readQuantized?(key: string, options?: ReadOptions): Promise<QuantizedData | undefined>;
  close(): Promise<void>;
}

/** A tensor's values as float32, whatever its type. @throws WeightsError `Complex` for C64 */
export async function readFloat32(
  checkpoint: Checkpoint,
  key: string,
  options?: ReadOptions,
): Promise<Float32Array<ArrayBuffer>> {
  const { dtype, data, shape } = await checkpoint.read(key, options);
  return toFloat32(dtype, data, shape);
}

// Comparing costs the product of the lengths; a damaged or hostile file may hold any number of long names.
const MAX_COMPARED_LENGTH = 300;
const MAX_COMPARED = 5000;

/** The keys most like the wanted one, the closest first. */
export function closestKeys(wanted: string, keys: readonly string[], count: number): string[] {
  const short = keys.filter((key) => key.length <= MAX_COMPARED_LENGTH).slice(0, MAX_COMPARED);
  return closest(wanted.slice(0, MAX_COMPARED_LENGTH), short, count);
}

/** The error for a key that is not there, with the closest ones that are. */
export function tensorNotFound(name: string, key: string, keys: Iterable<string>): WeightsError {
  const near = closestKeys(key, [...keys], 3);
  const remedy = near.length > 0 ? `closest: ${near.join(', ')}` : 'it has no tensors';
  return new WeightsError('TensorNotFound', `${name}: the tensor asked for is there; got "${key}"; ${remedy}`);
}
