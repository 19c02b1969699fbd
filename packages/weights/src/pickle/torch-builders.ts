import { bitsOf, type Dtype } from '../dtype/dtype.ts';
import { PickleError } from './pickle-error.ts';
import {
  describeValue,
  LazyBytes,
  PyGlobal,
  PyTuple,
  type PyValue,
  type TensorSigns,
  TorchStorage,
  TorchTensor,
} from './values.ts';

/** PyTorch's element types. Those that no file format of ours can hold are not here and are refused by name. */
export const DTYPE_NAMES: Readonly<Record<string, Dtype>> = {
  'torch.float64': 'F64',
  'torch.double': 'F64',
  'torch.float32': 'F32',
  'torch.float': 'F32',
  'torch.float16': 'F16',
  'torch.half': 'F16',
  'torch.bfloat16': 'BF16',
  'torch.int64': 'I64',
  'torch.long': 'I64',
  'torch.int32': 'I32',
  'torch.int': 'I32',
  'torch.int16': 'I16',
  'torch.short': 'I16',
  'torch.int8': 'I8',
  'torch.uint8': 'U8',
  'torch.uint16': 'U16',
  'torch.uint32': 'U32',
  'torch.uint64': 'U64',
  'torch.bool': 'BOOL',
  'torch.complex64': 'C64',
  'torch.float8_e4m3fn': 'F8_E4M3',
  'torch.float8_e5m2': 'F8_E5M2',
  'torch.float8_e4m3fnuz': 'F8_E4M3FNUZ',
  'torch.float8_e5m2fnuz': 'F8_E5M2FNUZ',
  'torch.float8_e8m0fnu': 'F8_E8M0',
};

const STORAGE_DTYPES: Readonly<Record<string, Dtype>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
  ComplexFloatStorage: 'C64',
};

/** The storage classes, old and new. */
export const STORAGE_NAMES: ReadonlySet<string> = new Set([
  ...Object.keys(STORAGE_DTYPES).flatMap((name) => [`torch.${name}`, `torch.cuda.${name}`]),
  'torch.storage.UntypedStorage',
  'torch.UntypedStorage',
]);

function refuse(name: string, rule: string, got: PyValue | undefined): never {
  throw new PickleError('ArgumentsRefused', `${name}: ${rule}; got ${describeValue(got ?? null)}`);
}

/** PyTorch's and numpy's own limit. */
export const MAX_DIMENSIONS = 64;

function sizes(name: string, value: PyValue | undefined): number[] {
  const list = value instanceof PyTuple && value.items.length <= MAX_DIMENSIONS ? value.items : undefined;
  const whole = list?.every((size) => typeof size === 'number' && Number.isSafeInteger(size) && size >= 0);
  return whole
    ? (list as number[])
    : refuse(name, `sizes and strides are tuples of up to ${MAX_DIMENSIONS} whole numbers`, value);
}

const SIGNS: readonly PyValue[] = ['neg', 'conj'];

/** A tensor's metadata, {'neg': True, 'conj': True} or less: without it a lazily negated tensor has the wrong sign.
 * @source torch._utils.get_tensor_metadata */
function signsOf(name: string, metadata: PyValue | undefined): TensorSigns {
  if (metadata === undefined || metadata === null) return { negative: false, conjugate: false };
  if (!(metadata instanceof Map)) return refuse(name, 'metadata is a dict or None', metadata);
  for (const [key, value] of metadata) {
    if (!SIGNS.includes(key)) return refuse(name, 'metadata says neg and conj alone', key);
    if (typeof value !== 'boolean') return refuse(name, `metadata ${describeValue(key)} is true or false`, value);
  }
  return { negative: metadata.get('neg') === true, conjugate: metadata.get('conj') === true };
}

/** (storage, offset, size, stride, requires grad, hooks, [dtype in v3], metadata): the fifth and sixth change nothing. */
export function rebuildTensor(args: PyValue[], version: 'v1' | 'v2' | 'v3'): TorchTensor {
  const name = 'torch._utils._rebuild_tensor';
  const [storage, offset, size, stride] = args;
  if (!(storage instanceof TorchStorage)) return refuse(name, 'a tensor has a storage', storage);
  if (typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 0) {
    return refuse(name, 'a tensor starts at a whole offset', offset);
  }
  const shape = sizes(name, size);
  const strides = sizes(name, stride);
  if (shape.length !== strides.length) return refuse(name, 'there is a stride for each size', stride);
  const signs = signsOf(name, args[version === 'v3' ? 7 : 6]);
  if (version !== 'v3') return new TorchTensor(storage, offset, shape, strides, signs);
  const dtype = args[6] instanceof PyGlobal ? DTYPE_NAMES[args[6].name] : undefined;
  if (dtype === undefined) return refuse(name, 'a dtype is one of PyTorch’s', args[6]);
  return new TorchTensor(storage, offset, shape, strides, signs, dtype);
}

/** (tensor, requires grad, hooks): the tensor. */
export function rebuildParameter([data]: PyValue[]): TorchTensor {
  return data instanceof TorchTensor
    ? data
    : refuse('torch._utils._rebuild_parameter', 'a parameter is a tensor', data);
}

/** (function, type, arguments, state): a tensor with attributes of its own, which are dropped. */
export function rebuildFromType(
  [callee, type, args]: PyValue[],
  build: (name: string, args: PyValue[]) => PyValue,
): PyValue {
  const name = 'torch._tensor._rebuild_from_type_v2';
  const isTensor = type instanceof PyGlobal && ['torch.Tensor', 'torch.nn.parameter.Parameter'].includes(type.name);
  if (!isTensor) return refuse(name, 'the type is torch.Tensor or Parameter', type);
  const rebuilds = callee instanceof PyGlobal && callee.name.startsWith('torch._utils._rebuild_');
  if (!rebuilds || !(args instanceof PyTuple)) return refuse(name, 'a tensor is rebuilt by torch._utils', callee);
  return build(callee.name, args.items);
}

/** (bytes): a storage that is a whole file of its own, as pickle.dump writes each one. */
export function loadFromBytes([bytes]: PyValue[]): TorchStorage {
  if (bytes instanceof Uint8Array || bytes instanceof LazyBytes) return new TorchStorage(bytes);
  return refuse('torch.storage._load_from_bytes', 'it takes bytes', bytes);
}

/** The storage of a persistent id: ('storage', class, key, device, elements) and, in old files, a view of it.
 * @throws PickleError `PersistentIdRefused` */
export function storageOfId(id: PyValue): TorchStorage {
  const [kind, cls, key, , count, view] = id instanceof PyTuple ? id.items : [];
  const name = cls instanceof PyGlobal && STORAGE_NAMES.has(cls.name) ? cls.name.replace(/^.*\./, '') : undefined;
  const valid = kind === 'storage' && name !== undefined && typeof key === 'string' && isCount(count);
  if (!valid) {
    const got =
      id instanceof PyTuple ? `(${id.items.slice(0, 3).map(describeValue).join(', ')}, ...)` : describeValue(id);
    throw new PickleError('PersistentIdRefused', `torch: what a pickle refers to is a storage of the file; got ${got}`);
  }
  const dtype = STORAGE_DTYPES[name];
  const width = dtype === undefined ? 1 : bitsOf(dtype) / 8;
  if (!(view instanceof PyTuple)) return new TorchStorage(key, dtype, count * width);
  const [, offset, size] = view.items;
  if (!isCount(offset) || !isCount(size) || offset + size > count) {
    throw new PickleError('BadTensor', `torch: a view lies inside its storage; got ${describeValue(view)} of ${count}`);
  }
  return new TorchStorage(key, dtype, size * width, offset * width, count * width);
}

const isCount = (value: PyValue | undefined): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
