import type { Dtype } from '../dtype/dtype.ts';

/** A Python tuple. */
export class PyTuple {
  readonly items: PyValue[];
  constructor(items: PyValue[]) {
    this.items = items;
  }
}

/** Bytes of the pickle that were left where they are, because they are long. */
export class LazyBytes {
  /** Where they start in the source of the pickle. */
  readonly start: number;
  readonly end: number;
  /** `utf8`: the bytes are latin-1 characters written as UTF-8, as protocol 2 stores them. */
  readonly encoding: 'raw' | 'utf8';
  constructor(start: number, end: number, encoding: 'raw' | 'utf8') {
    this.start = start;
    this.end = end;
    this.encoding = encoding;
  }
}

/** A name on the allow list that a pickle has imported. It is data: nothing stands behind it. */
export class PyGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** An object of a class that the caller lets through as inert data. */
export class InertObject {
  readonly className: string;
  readonly args: PyValue[];
  state: PyValue = null;
  readonly items = new Map<PyValue, PyValue>();
  readonly list: PyValue[] = [];
  constructor(className: string, args: PyValue[]) {
    this.className = className;
    this.args = args;
  }
}

/** A run of bytes that tensors share. Where it lies is known only when the file around the pickle is. */
export class TorchStorage {
  /** The storage's name in its file, or the bytes of a whole file of its own. */
  readonly key: string | Uint8Array | LazyBytes;
  /** Undefined when untyped, or when it is not known yet. */
  readonly dtype: Dtype | undefined;
  readonly byteLength: number | undefined;
  /** Bytes from the start of the storage named `key`, which has `rootByteLength`. */
  readonly byteOffset: number;
  readonly rootByteLength: number | undefined;
  constructor(
    key: TorchStorage['key'],
    dtype?: Dtype,
    byteLength?: number,
    byteOffset = 0,
    rootByteLength: number | undefined = byteLength,
  ) {
    this.key = key;
    this.dtype = dtype;
    this.byteLength = byteLength;
    this.byteOffset = byteOffset;
    this.rootByteLength = rootByteLength;
  }
}

/** What PyTorch has put off: the tensor's elements are those of its storage negated, conjugated or both. */
export interface TensorSigns {
  readonly negative: boolean;
  readonly conjugate: boolean;
}

/** A tensor: a strided view of a storage, in elements. */
export class TorchTensor {
  readonly storage: TorchStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  /** Undefined: the storage's own. */
  readonly dtype: Dtype | undefined;
  readonly signs: TensorSigns;
  constructor(
    storage: TorchStorage,
    offset: number,
    shape: number[],
    stride: number[],
    signs: TensorSigns,
    dtype?: Dtype,
  ) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
    this.signs = signs;
    this.dtype = dtype;
  }
}

/** A numpy element type: `f4` and its byte order. */
export class NumpyDtype {
  readonly code: string;
  bigEndian: boolean;
  constructor(code: string, bigEndian: boolean) {
    this.code = code;
    this.bigEndian = bigEndian;
  }
}

/** A numpy array; what is undefined has not been set yet. */
export class NumpyArray {
  shape: readonly number[] | undefined;
  dtype: NumpyDtype | undefined;
  fortran = false;
  bytes: Uint8Array | LazyBytes | undefined;
}

/** What a pickle is made of. A dict is a Map, a list an array, a set a Set. */
export type PyValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | LazyBytes
  | PyTuple
  | PyValue[]
  | Map<PyValue, PyValue>
  | Set<PyValue>
  | PyGlobal
  | InertObject
  | TorchStorage
  | TorchTensor
  | NumpyDtype
  | NumpyArray;

/** What a value is called in messages. */
export function describeValue(value: PyValue): string {
  if (value === null) return 'None';
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
  if (typeof value !== 'object') return String(value).slice(0, 60);
  if (value instanceof PyGlobal) return value.name;
  if (value instanceof InertObject) return `a ${value.className}`;
  if (value instanceof PyTuple) return `a tuple of ${value.items.length}`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value instanceof Map) return `a dict of ${value.size}`;
  if (value instanceof Uint8Array || value instanceof LazyBytes) return 'bytes';
  return `a ${value.constructor.name}`;
}
