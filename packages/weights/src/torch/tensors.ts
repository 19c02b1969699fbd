import { type Dtype, elementCount } from '../dtype/dtype.ts';
import { toLatin1, utf8 } from '../pickle/literals.ts';
import { arrayByteLength, dtypeOf } from '../pickle/numpy.ts';
import { PickleError } from '../pickle/pickle-error.ts';
import { LazyBytes, type NumpyArray, TorchTensor } from '../pickle/values.ts';
import { type ByteSource, checkRange } from '../source/byte-source.ts';
import type { TensorValue } from './flatten.ts';
import { checkSigns } from './signs.ts';
import type { StorageFinder } from './storages.ts';
import { checkStrided, type StridedTensor } from './strided.ts';

/** Row-major strides, or column-major ones. */
function strides(shape: readonly number[], fortran: boolean): number[] {
  const out = new Array<number>(shape.length);
  let step = 1;
  for (let i = 0; i < shape.length; i++) {
    const axis = fortran ? i : shape.length - 1 - i;
    out[axis] = step;
    step *= shape[axis];
  }
  return out;
}

/** The bytes that a pickle holds or points at. */
export async function loadBytes(
  bytes: Uint8Array | LazyBytes,
  source: ByteSource,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!(bytes instanceof LazyBytes)) return new Uint8Array(bytes);
  const raw = await source.read(bytes.start, bytes.end, signal);
  if (bytes.encoding === 'raw') return raw;
  const decoded = toLatin1(utf8(raw));
  if (decoded !== undefined) return decoded;
  throw new PickleError('BadTensor', `${source.name}: bytes stored as text hold characters below 256; got others`);
}

function numpyTensor(where: string, array: NumpyArray, source: ByteSource): StridedTensor {
  const { dtype, shape, bytes } = array;
  const byteLength = arrayByteLength(array);
  if (dtype === undefined || shape === undefined || bytes === undefined || byteLength === undefined) {
    throw new PickleError('BadTensor', `${where}: an array has elements; got one that was never filled`);
  }
  const check = (got: number) => {
    if (got === byteLength) return;
    throw new PickleError('BadTensor', `${where}: an array has the bytes of its shape; got ${got} of ${byteLength}`);
  };
  const direct = bytes instanceof LazyBytes && bytes.encoding === 'raw' ? bytes : undefined;
  if (direct !== undefined) check(direct.end - direct.start);
  else if (bytes instanceof Uint8Array) check(bytes.byteLength);
  return {
    dtype: dtypeOf(dtype),
    shape,
    stride: strides(shape, array.fortran),
    offset: 0,
    bigEndian: dtype.bigEndian,
    byteLength,
    async read(start, end, signal) {
      checkRange(where, byteLength, start, end);
      if (direct !== undefined) return source.read(direct.start + start, direct.start + end, signal);
      const all = await loadBytes(bytes, source, signal);
      check(all.byteLength);
      return all.slice(start, end);
    },
  };
}

/** A tensor of a pickle as a view that can be read. `source` is where the pickle itself lies.
 * @throws PickleError `BadTensor`, `UnsupportedDtype` */
export async function resolveTensor(
  where: string,
  value: TensorValue,
  find: StorageFinder,
  source: ByteSource,
): Promise<StridedTensor> {
  if (!(value instanceof TorchTensor)) return numpyTensor(where, value, source);
  const storage = await find(value.storage);
  const dtype: Dtype | undefined = value.dtype ?? storage.dtype;
  if (dtype === undefined || !Number.isSafeInteger(elementCount(value.shape))) {
    throw new PickleError(
      'BadTensor',
      `${where}: a tensor has an element type and a shape; got [${value.shape.join(', ')}]`,
    );
  }
  const { shape, stride, offset, signs } = value;
  checkSigns(where, dtype, signs);
  const { byteLength, bigEndian } = storage;
  const tensor: StridedTensor = { dtype, shape, stride, offset, bigEndian, signs, byteLength, read: storage.read };
  checkStrided(where, tensor);
  return tensor;
}
