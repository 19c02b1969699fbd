import { bytesOf, makeFromBuffer, makeNumpyDtype, makeScalar } from './numpy.ts';
import { PickleError } from './pickle-error.ts';
import {
  DTYPE_NAMES,
  loadFromBytes,
  rebuildFromType,
  rebuildParameter,
  rebuildTensor,
  STORAGE_NAMES,
} from './torch-builders.ts';
import { describeValue, InertObject, LazyBytes, NumpyArray, PyGlobal, PyTuple, type PyValue } from './values.ts';

/** Makes data of the arguments with which Python would have called something. */
export type Builder = (args: PyValue[], list: AllowList) => PyValue;

function refuse(name: string, rule: string, got: PyValue | undefined): never {
  throw new PickleError('ArgumentsRefused', `${name}: ${rule}; got ${describeValue(got ?? null)}`);
}

function items(name: string, value: PyValue | undefined): PyValue[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  if (value instanceof PyTuple) return value.items;
  if (value instanceof Set) return [...value];
  return refuse(name, 'it is made of a list', value);
}

function makeDict(args: PyValue[]): Map<PyValue, PyValue> {
  if (args[0] instanceof Map) return new Map(args[0]);
  const pairs = items('dict', args[0]).map((pair) => items('dict', pair));
  return new Map(pairs.map(([key, value]) => [key ?? null, value ?? null]));
}

/** `_codecs.encode(text, 'latin1')`: how protocol 2 writes bytes. */
function encode([text, encoding]: PyValue[]): PyValue {
  const isLatin1 = encoding === 'latin1' || encoding === 'latin-1' || encoding === 'iso-8859-1';
  if (!isLatin1) return refuse('_codecs.encode', 'the encoding is latin1', encoding);
  return text instanceof LazyBytes ? text : bytesOf(text ?? null);
}

/** `copyreg._reconstructor(cls, object, None)`: how protocols 0 and 1 make objects. */
function reconstruct([cls, base, state]: PyValue[], list: AllowList): PyValue {
  const isPlain = base instanceof PyGlobal && base.name === 'builtins.object' && state === null;
  if (!(cls instanceof PyGlobal) || !isPlain) return refuse('copyreg._reconstructor', 'it makes a plain object', cls);
  return list.build(cls.name, []);
}

const makeBytes: Builder = ([bytes]) => (bytes === undefined ? new Uint8Array(0) : bytesOf(bytes));

const BUILDERS: Record<string, Builder> = {
  'collections.OrderedDict': makeDict,
  'collections.Counter': makeDict,
  'collections.defaultdict': ([, content]) => makeDict(content === undefined ? [] : [content]),
  'builtins.dict': makeDict,
  'builtins.list': ([content]) => [...items('list', content)],
  'builtins.tuple': ([content]) => new PyTuple([...items('tuple', content)]),
  'builtins.set': ([content]) => new Set(items('set', content)),
  'builtins.frozenset': ([content]) => new Set(items('frozenset', content)),
  'builtins.bytearray': makeBytes,
  'builtins.bytes': makeBytes,
  '_codecs.encode': encode,
  'copyreg._reconstructor': reconstruct,
  'torch._utils._rebuild_tensor': (args) => rebuildTensor(args, 'v1'),
  'torch._utils._rebuild_tensor_v2': (args) => rebuildTensor(args, 'v2'),
  'torch._utils._rebuild_tensor_v3': (args) => rebuildTensor(args, 'v3'),
  'torch._utils._rebuild_parameter': rebuildParameter,
  'torch._utils._rebuild_parameter_with_state': rebuildParameter,
  'torch._tensor._rebuild_from_type_v2': rebuildFromType,
  'torch.storage._load_from_bytes': loadFromBytes,
  'torch.Size': ([content]) => new PyTuple([...items('torch.Size', content)]),
  'torch.device': (args) => new PyTuple(args),
  'numpy.core.multiarray._reconstruct': () => new NumpyArray(),
  'numpy.core.multiarray.scalar': makeScalar,
  'numpy.core.numeric._frombuffer': makeFromBuffer,
  'numpy.dtype': makeNumpyDtype,
};

// Names that stand for themselves: they are passed as arguments and never make anything.
const VALUES = new Set([
  ...['builtins.object', 'builtins.int', 'builtins.float', 'builtins.str', 'builtins.bool'],
  ...['numpy.ndarray', 'torch.Tensor', 'torch.nn.parameter.Parameter'],
]);

// Python 2's and numpy 2's names for the same things.
function canonical(module: string, name: string): string {
  const renamed = module
    .replace(/^__builtin__$/, 'builtins')
    .replace(/^copy_reg$/, 'copyreg')
    .replace(/^numpy\._core\b/, 'numpy.core');
  return `${renamed}.${name}`;
}

/** The names that a pickle may import, and what is made of each. */
export class AllowList {
  readonly #inert: ReadonlySet<string>;

  /** `inert`: further classes, by full name, to let through as data without any meaning. */
  constructor(inert: Iterable<string> = []) {
    this.#inert = new Set(inert);
  }

  /** A name's spelling in this list; undefined when it is not on it. */
  resolve(module: string, name: string): string | undefined {
    const full = canonical(module, name);
    const known =
      Object.hasOwn(BUILDERS, full) || VALUES.has(full) || STORAGE_NAMES.has(full) || Object.hasOwn(DTYPE_NAMES, full);
    return known || this.#inert.has(full) ? full : undefined;
  }

  /** @throws PickleError when the name makes nothing, or not from these arguments */
  build(name: string, args: PyValue[]): PyValue {
    if (Object.hasOwn(BUILDERS, name)) return BUILDERS[name](args, this);
    if (this.#inert.has(name)) return new InertObject(name, args);
    return refuse(name, 'it is a name and makes nothing', new PyTuple(args));
  }
}
