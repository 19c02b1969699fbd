import { type Checkpoint, tensorNotFound } from '../checkpoint.ts';
import { bitsOf, type Dtype, viewAs } from '../dtype/dtype.ts';
import { WeightsError } from '../error.ts';
import { type ByteSource, readInto, sliceSource } from '../source/byte-source.ts';
import { type HeaderEntry, headerLength, LENGTH_BYTES, parseHeader } from './header.ts';
import { SafetensorsError } from './safetensors-error.ts';

/** Where elements `first` to `first + count` lie in the bytes of a tensor, and how many bytes they take. */
function partOf(where: string, dtype: Dtype, byteLength: number, first: number, count: number): [number, number] {
  const size = bitsOf(dtype) / 8;
  const total = byteLength / size;
  const isWhole = first === 0 && count === total;
  const isInside = Number.isSafeInteger(first) && Number.isSafeInteger(count) && first >= 0 && count >= 0;
  if (isInside && first + count <= total && (size >= 1 || isWhole)) return [first * size, count * size];
  const rule = size < 1 ? `a tensor of ${dtype} is read whole` : `a part lies inside the ${total} elements`;
  throw new WeightsError('RangeOutside', `${where}: ${rule}; got ${count} from ${first}`);
}

function checkRoom(where: string, into: Uint8Array, bytes: number): void {
  if (into.byteLength === bytes) return;
  throw new WeightsError(
    'RangeOutside',
    `${where}: a part fills what it is read into; got ${into.byteLength} bytes for ${bytes}`,
  );
}

/** Reads a file's header and gives its tensors lazily; closing the checkpoint closes the source.
 * Files are taken and refused exactly as the Python package safetensors 0.8 does.
 * @throws SafetensorsError whose `rule` names what is broken */
export async function openSafetensors(source: ByteSource, signal?: AbortSignal): Promise<Checkpoint> {
  const { name, size } = source;
  const first = await source.read(0, Math.min(LENGTH_BYTES, size), signal);
  const dataStart = LENGTH_BYTES + headerLength(name, first, size);
  const header = parseHeader(name, await source.read(LENGTH_BYTES, dataStart, signal), size - dataStart);
  const data = sliceSource(source, dataStart, size);
  const entryOf = (key: string): HeaderEntry => {
    const entry = header.tensors.get(key);
    if (entry !== undefined) return entry;
    const { message } = tensorNotFound(name, key, header.tensors.keys());
    throw new SafetensorsError('TensorNotFound', message);
  };
  return {
    name,
    format: 'safetensors',
    metadata: header.metadata,
    keys: () => [...header.tensors.keys()],
    has: (key) => header.tensors.has(key),
    info(key) {
      const { dtype, shape } = entryOf(key);
      return { dtype, shape };
    },
    async read(key, options) {
      const { dtype, shape, start, end } = entryOf(key);
      return { dtype, shape, data: viewAs(dtype, await data.read(start, end, options?.signal)) };
    },
    async readPart(key, { start: first, count }, { into, signal } = {}) {
      const { dtype, start, end } = entryOf(key);
      const [from, bytes] = partOf(`${name}: "${key}"`, dtype, end - start, first, count);
      if (into === undefined) return viewAs(dtype, await data.read(start + from, start + from + bytes, signal));
      checkRoom(`${name}: "${key}"`, into, bytes);
      await readInto(data, start + from, into, signal);
      return viewAs(dtype, into);
    },
    close: () => source.close(),
  };
}
