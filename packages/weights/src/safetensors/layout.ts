import { byteLengthOf, DTYPES, isDtype } from '../dtype/dtype.ts';
import type { TensorSpec } from '../writer.ts';
import { LENGTH_BYTES, MAX_HEADER_BYTES } from './header.ts';
import { SafetensorsError } from './safetensors-error.ts';

/** Where each tensor goes, and the bytes before them. */
export interface Layout {
  readonly header: Uint8Array<ArrayBuffer>;
  /** Names in the order of the file. */
  readonly names: readonly string[];
  /** Where each tensor starts in the file, and its bytes. */
  readonly places: ReadonlyMap<string, { position: number; byteLength: number }>;
}

const rank = new Map(DTYPES.map((dtype, index) => [dtype, index]));
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Orders strings by code point, as UTF-8 bytes are; JavaScript's own order puts U+E000..U+FFFF behind emoji. */
function byCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  const fix = (unit: number) => (unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit);
  for (let i = 0; i < length; i++) {
    const difference = fix(a.charCodeAt(i)) - fix(b.charCodeAt(i));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function checkName(name: string): void {
  if (name === '__metadata__' || LONE_SURROGATE.test(name)) {
    throw new SafetensorsError(
      'InvalidName',
      `safetensors: a tensor's name is well-formed text other than __metadata__; got ${JSON.stringify(name)}`,
    );
  }
}

function checkSpec(name: string, { dtype, shape }: TensorSpec): void {
  const sizesAreWhole = shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  if (isDtype(dtype) && sizesAreWhole && Number.isSafeInteger(byteLengthOf(dtype, shape))) return;
  throw new SafetensorsError(
    'InvalidTensorView',
    `safetensors: "${name}" has a type of the format and whole sizes; got ${dtype} [${shape.join(', ')}]`,
  );
}

function checkMetadata(metadata: Readonly<Record<string, string>>): void {
  for (const [key, text] of Object.entries(metadata)) {
    if (typeof text === 'string' && !LONE_SURROGATE.test(key + text)) continue;
    throw new SafetensorsError(
      'InvalidHeaderDeserialization',
      `safetensors: metadata holds well-formed text only; got ${JSON.stringify(text)} for "${key}"; use JSON.stringify`,
    );
  }
}

/** Lays a file out as the Python package does: wide types first, then by name, so that every tensor is aligned.
 * The same tensors give the same bytes as there. @throws SafetensorsError */
export function layOut(specs: ReadonlyMap<string, TensorSpec>, metadata: Readonly<Record<string, string>>): Layout {
  checkMetadata(metadata);
  const sorted = [...specs].sort(
    ([nameA, a], [nameB, b]) => rank.get(b.dtype)! - rank.get(a.dtype)! || byCodePoint(nameA, nameB),
  );
  const places = new Map<string, { position: number; byteLength: number }>();
  const entries: string[] = [];
  if (Object.keys(metadata).length > 0) entries.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let offset = 0;
  for (const [name, spec] of sorted) {
    checkName(name);
    checkSpec(name, spec);
    const byteLength = byteLengthOf(spec.dtype, spec.shape);
    places.set(name, { position: offset, byteLength });
    const shape = spec.shape.join(',');
    const end = offset + byteLength;
    // Not one JSON.stringify of an object: it would put keys such as "12" first.
    entries.push(
      `${JSON.stringify(name)}:{"dtype":"${spec.dtype}","shape":[${shape}],"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }
  const json = new TextEncoder().encode(`{${entries.join(',')}}`);
  const length = Math.ceil(json.byteLength / LENGTH_BYTES) * LENGTH_BYTES;
  if (length > MAX_HEADER_BYTES) {
    throw new SafetensorsError(
      'HeaderTooLarge',
      `safetensors: a header has at most ${MAX_HEADER_BYTES} bytes; got ${length}; write shards`,
    );
  }
  const header = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, LENGTH_BYTES);
  for (const place of places.values()) place.position += header.byteLength;
  return { header, names: sorted.map(([name]) => name), places };
}
