import { bitsOf, type Dtype, elementCount } from '../dtype/dtype.ts';
import { COST, type PickleBudget } from './budget.ts';
import { latin1, toLatin1 } from './literals.ts';
import { PickleError } from './pickle-error.ts';
import { MAX_DIMENSIONS } from './torch-builders.ts';
import { describeValue, LazyBytes, NumpyArray, NumpyDtype, PyTuple, type PyValue } from './values.ts';

const DTYPES: Record<string, Dtype> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u8: 'U64',
  u4: 'U32',
  u2: 'U16',
  u1: 'U8',
  b1: 'BOOL',
  c8: 'C64',
};

function refuse(rule: string, got: PyValue): never {
  throw new PickleError('ArgumentsRefused', `numpy: ${rule}; got ${describeValue(got)}`);
}

/** The element type of an array. @throws PickleError `UnsupportedDtype`, for objects and text among others */
export function dtypeOf({ code }: NumpyDtype): Dtype {
  const dtype = DTYPES[code];
  if (dtype !== undefined) return dtype;
  throw new PickleError(
    'UnsupportedDtype',
    `numpy: arrays hold numbers, ${Object.keys(DTYPES).join(' ')}; got ${code}`,
  );
}

/** A shape: a tuple of whole sizes. */
export function shapeOf(value: PyValue): number[] {
  const items = value instanceof PyTuple ? value.items : typeof value === 'number' ? [value] : undefined;
  const isShape =
    items !== undefined &&
    items.length <= MAX_DIMENSIONS &&
    items.every((size) => typeof size === 'number' && Number.isSafeInteger(size) && size >= 0);
  return isShape ? (items as number[]) : refuse(`a shape is a tuple of up to ${MAX_DIMENSIONS} sizes`, value);
}

/** Bytes, from a text of Python 2 too, of which they are a copy. */
export function bytesOf(value: PyValue, budget: PickleBudget): Uint8Array | LazyBytes {
  if (value instanceof Uint8Array || value instanceof LazyBytes) return value;
  if (typeof value === 'string') budget.spend(COST.bytes + value.length);
  const bytes = typeof value === 'string' ? toLatin1(value) : undefined;
  return bytes ?? refuse('elements are bytes', value);
}

/** `numpy.dtype('f4', False, True)`: the byte order comes with BUILD. */
export function makeNumpyDtype(args: PyValue[]): NumpyDtype {
  const [code] = args;
  const match = typeof code === 'string' ? /^([<>|=]?)([a-zA-Z][0-9]{0,4})$/.exec(code) : null;
  if (match === null) return refuse('a dtype is a code such as f4', code ?? null);
  return new NumpyDtype(match[2], match[1] === '>');
}

/** (version, byte order, subdtype, names, fields, item size, alignment, flags) */
export function setNumpyDtype(dtype: NumpyDtype, state: PyValue): void {
  const items = state instanceof PyTuple ? state.items : [];
  const [, order, subdtype, names, fields] = items;
  if (typeof order !== 'string' || subdtype !== null || names !== null || fields !== null) {
    refuse('a dtype is a plain number', state);
  }
  dtype.bigEndian = order === '>';
}

/** (version, shape, dtype, Fortran order, bytes) */
export function setNumpyArray(array: NumpyArray, state: PyValue, budget: PickleBudget): void {
  const items = state instanceof PyTuple ? state.items : [];
  const [, shape, dtype, fortran, bytes] = items;
  if (items.length !== 5 || !(dtype instanceof NumpyDtype))
    throw new PickleError(
      'ArgumentsRefused',
      `numpy: an array has shape, dtype, order and bytes; got ${describeValue(state)}`,
    );
  array.shape = shapeOf(shape);
  array.dtype = dtype;
  array.fortran = fortran === true;
  // An array of objects has a list here.
  array.bytes = Array.isArray(bytes) ? refuse('arrays hold numbers, not objects', bytes) : bytesOf(bytes, budget);
}

/** `_frombuffer(bytes, dtype, shape, order)`, as protocol 5 stores arrays. */
export function makeFromBuffer(args: PyValue[], budget: PickleBudget): NumpyArray {
  const [bytes, dtype, shape, order] = args;
  if (!(dtype instanceof NumpyDtype)) return refuse('an array has a dtype', dtype ?? null);
  const array = new NumpyArray();
  array.shape = shapeOf(shape);
  array.dtype = dtype;
  array.fortran = order === 'F';
  array.bytes = bytesOf(bytes, budget);
  return array;
}

/** `scalar(dtype, bytes)`: a single number. */
export function makeScalar(args: PyValue[], budget: PickleBudget): PyValue {
  const [numpyDtype, value] = args;
  if (!(numpyDtype instanceof NumpyDtype)) return refuse('a scalar has a dtype', numpyDtype ?? null);
  const bytes = bytesOf(value, budget);
  const dtype = dtypeOf(numpyDtype);
  if (bytes instanceof LazyBytes || bytes.length !== bitsOf(dtype) / 8)
    return refuse('a scalar has the bytes of one', value);
  const view = new DataView(bytes.slice().buffer);
  const little = !numpyDtype.bigEndian;
  switch (dtype) {
    case 'F64':
      return view.getFloat64(0, little);
    case 'F32':
      return view.getFloat32(0, little);
    case 'I64':
      return smaller(view.getBigInt64(0, little));
    case 'U64':
      return smaller(view.getBigUint64(0, little));
    case 'I32':
      return view.getInt32(0, little);
    case 'U32':
      return view.getUint32(0, little);
    case 'I16':
      return view.getInt16(0, little);
    case 'U16':
      return view.getUint16(0, little);
    case 'I8':
      return view.getInt8(0);
    case 'U8':
      return view.getUint8(0);
    case 'BOOL':
      return view.getUint8(0) !== 0;
    default:
      return refuse('a scalar is a number or a truth value', latin1(bytes));
  }
}

const smaller = (value: bigint): number | bigint =>
  BigInt(Number.MIN_SAFE_INTEGER) <= value && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;

/** How many bytes an array's elements take; undefined for one that was never filled. */
export function arrayByteLength(array: NumpyArray): number | undefined {
  if (array.dtype === undefined || array.shape === undefined) return undefined;
  return (elementCount(array.shape) * bitsOf(dtypeOf(array.dtype))) / 8;
}
