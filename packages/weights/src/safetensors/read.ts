import { type Checkpoint, tensorNotFound } from '../checkpoint.ts';
import { viewAs } from '../dtype/dtype.ts';
import { type ByteSource, sliceSource } from '../source/byte-source.ts';
import { type HeaderEntry, headerLength, LENGTH_BYTES, parseHeader } from './header.ts';
import { SafetensorsError } from './safetensors-error.ts';

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
    close: () => source.close(),
  };
}
