import { bitsOf, type Dtype, isDtype } from '../dtype/dtype.ts';
import { type Json, JsonError, JsonFloat, JsonObject, parseJson } from './json.ts';
import { SafetensorsError } from './safetensors-error.ts';

/** Bytes before the header: its length, a little-endian unsigned 64-bit integer. */
export const LENGTH_BYTES = 8;
/** The longest header that the format allows. @source safetensors `MAX_HEADER_SIZE` */
export const MAX_HEADER_BYTES = 100_000_000;

/** Where one tensor lies in the part of the file behind the header. */
export interface HeaderEntry {
  readonly dtype: Dtype;
  /** A size above 2^53 is rounded; it occurs only where another size is 0. */
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

/** A header that keeps every rule of the format. */
export interface SafetensorsHeader {
  /** Tensors in the order of the file. */
  readonly tensors: ReadonlyMap<string, HeaderEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface RawEntry {
  dtype: Dtype;
  shape: bigint[];
  start: bigint;
  end: bigint;
}

const MAX_UNSIGNED = 2n ** 64n - 1n;

/** Reads the header's length from the first 8 bytes of a file of `size` bytes. @throws SafetensorsError */
export function headerLength(name: string, first: Uint8Array, size: number): number {
  if (size < LENGTH_BYTES || first.byteLength < LENGTH_BYTES) {
    throw new SafetensorsError(
      'HeaderTooSmall',
      `${name}: a file starts with 8 bytes of header length; got ${size} bytes`,
    );
  }
  const length = new DataView(first.buffer, first.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new SafetensorsError(
      'HeaderTooLarge',
      `${name}: a header has at most ${MAX_HEADER_BYTES} bytes; got ${length}; perhaps it is not a safetensors file`,
    );
  }
  if (LENGTH_BYTES + Number(length) > size) {
    throw new SafetensorsError(
      'InvalidHeaderLength',
      `${name}: the header lies inside the file; got a header of ${length} bytes in a file of ${size}; it may be cut off`,
    );
  }
  return Number(length);
}

function decode(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new SafetensorsError('InvalidHeader', `${name}: the header is UTF-8; got bytes that are not`, { cause });
  }
}

function refuse(where: string, rule: string, got: Json): never {
  throw new SafetensorsError('InvalidHeaderDeserialization', `${where}: ${rule}; got ${describe(got)}`);
}

function describe(value: Json): string {
  if (value instanceof JsonObject) return 'an object';
  if (value instanceof JsonFloat) return value.text.slice(0, 40);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : String(value);
}

function unsigned(where: string, value: Json): bigint {
  if (typeof value === 'number' || typeof value === 'bigint') return BigInt(value);
  return refuse(where, 'sizes and offsets are whole numbers below 2^64, written as such', value);
}

/** A type is its name, or, as the reference takes it too, an object of the name and null. */
function dtypeOf(where: string, value: Json): Dtype {
  const single = value instanceof JsonObject && value.entries.length === 1 ? value.entries[0] : undefined;
  const name = single !== undefined && single[1] === null ? single[0] : value;
  if (typeof name === 'string' && isDtype(name)) return name;
  return refuse(where, 'dtype is one of the types of the format', value);
}

function listOf(where: string, what: string, value: Json): Json[] {
  return Array.isArray(value) ? value : refuse(where, `${what} is a list`, value);
}

/** The three fields of an entry: an object's, where others are ignored, or, as the reference takes it too, a list's. */
function fieldsOf(where: string, value: Json): readonly [dtype: Json, shape: Json, offsets: Json] {
  if (Array.isArray(value)) {
    if (value.length !== 3) refuse(where, 'an entry has dtype, shape and data_offsets', value);
    return [value[0], value[1], value[2]];
  }
  if (!(value instanceof JsonObject)) return refuse(where, 'an entry is an object', value);
  const fields = new Map<string, Json>();
  for (const [key, field] of value.entries) {
    if (key !== 'dtype' && key !== 'shape' && key !== 'data_offsets') continue;
    if (fields.has(key)) refuse(where, `a field stands once; ${key} stands twice`, value);
    fields.set(key, field);
  }
  for (const key of ['dtype', 'shape', 'data_offsets']) {
    if (!fields.has(key)) refuse(where, `an entry has dtype, shape and data_offsets; ${key} is missing`, value);
  }
  return [fields.get('dtype')!, fields.get('shape')!, fields.get('data_offsets')!];
}

function entryOf(where: string, value: Json): RawEntry {
  const [dtype, shape, offsets] = fieldsOf(where, value);
  const pair = listOf(where, 'data_offsets', offsets);
  if (pair.length !== 2) refuse(where, 'data_offsets are a start and an end', offsets);
  return {
    dtype: dtypeOf(where, dtype),
    shape: listOf(where, 'shape', shape).map((size) => unsigned(where, size)),
    start: unsigned(where, pair[0]),
    end: unsigned(where, pair[1]),
  };
}

function metadataOf(where: string, value: Json): Record<string, string> {
  if (value === null) return {};
  if (!(value instanceof JsonObject)) return refuse(where, '__metadata__ is an object of strings', value);
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, text] of value.entries) {
    if (typeof text !== 'string') refuse(where, `__metadata__ holds strings only; "${key}" is not one`, text);
    else metadata[key] = text;
  }
  return metadata;
}

function readEntries(name: string, json: Json) {
  if (!(json instanceof JsonObject)) return refuse(name, 'a header is an object', json);
  const tensors = new Map<string, RawEntry>();
  let metadata: Record<string, string> | undefined;
  for (const [key, value] of json.entries) {
    if (key !== '__metadata__') {
      // The last of equal names counts, as in the reference.
      tensors.set(key, entryOf(`${name}: tensor "${key}"`, value));
    } else if (metadata === undefined) metadata = metadataOf(name, value);
    else refuse(name, '__metadata__ stands once', value);
  }
  return { tensors, metadata: metadata ?? {} };
}

function byteCount(where: string, { dtype, shape }: RawEntry): bigint {
  let bits = 1n;
  for (const factor of [...shape, BigInt(bitsOf(dtype))]) {
    bits *= factor;
    if (bits > MAX_UNSIGNED) {
      throw new SafetensorsError(
        'ValidationOverflow',
        `${where}: a tensor's bits are counted in 64 bits; got ${dtype} [${shape.join(', ')}]`,
      );
    }
  }
  if (bits % 8n === 0n) return bits / 8n;
  throw new SafetensorsError(
    'MisalignedSlice',
    `${where}: a packed tensor fills whole bytes; got ${dtype} [${shape.join(', ')}], ${bits} bits`,
  );
}

const order = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** Checks that the tensors lie end to end from the start of the data and fill it. */
function validate(name: string, tensors: [string, RawEntry][], dataBytes: bigint): void {
  let expected = 0n;
  for (const [key, entry] of tensors) {
    const where = `${name}: tensor "${key}"`;
    const { start, end } = entry;
    if (start !== expected || end < start) {
      throw new SafetensorsError(
        'InvalidOffset',
        `${where}: tensors follow each other without a hole or an overlap; got ${start} to ${end} where ${expected} is next`,
      );
    }
    expected = end;
    const size = byteCount(where, entry);
    if (end - start === size) continue;
    throw new SafetensorsError(
      'TensorInvalidInfo',
      `${where}: the bytes are those of dtype and shape; got ${end - start} bytes for ${entry.dtype} ` +
        `[${entry.shape.join(', ')}], which takes ${size}`,
    );
  }
  if (expected === dataBytes) return;
  throw new SafetensorsError(
    'MetadataIncompleteBuffer',
    `${name}: the tensors fill the file; got ${expected} bytes of tensors and ${dataBytes} bytes of data; ` +
      `the file ${expected > dataBytes ? 'may be cut off' : 'has bytes that no tensor owns'}`,
  );
}

/** Parses and checks a header, as strictly and as laxly as the Python package does.
 * `dataBytes` is how many bytes follow it. @throws SafetensorsError whose `rule` names what is broken */
export function parseHeader(name: string, bytes: Uint8Array, dataBytes: number): SafetensorsHeader {
  const text = decode(name, bytes);
  let json: Json;
  try {
    json = parseJson(text);
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    const message = `${name}: the header is JSON: ${cause.message}; got something else at character ${cause.position}`;
    throw new SafetensorsError('InvalidHeaderDeserialization', message, { cause });
  }
  const { tensors, metadata } = readEntries(name, json);
  const sorted = [...tensors].sort(([, a], [, b]) => order(a.start, b.start) || order(a.end, b.end));
  validate(name, sorted, BigInt(dataBytes));
  const entries = sorted.map(([key, { dtype, shape, start, end }]): [string, HeaderEntry] => [
    key,
    { dtype, shape: shape.map(Number), start: Number(start), end: Number(end) },
  ]);
  return { tensors: new Map(entries), metadata };
}
