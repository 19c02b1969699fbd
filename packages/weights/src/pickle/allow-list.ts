import { COST, type PickleBudget } from './budget.ts';
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
export type Builder = (args: PyValue[], list: AllowList, budget: PickleBudget) => PyValue;

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

function sizeOf(value: PyValue | undefined): number {
  if (Array.isArray(value)) return value.length;
  if (value instanceof PyTuple) return value.items.length;
  return value instanceof Set ? value.size : 0;
}

const makeDict: Builder = ([content], _, budget) => {
  if (content instanceof Map) {
    budget.spend(COST.entry * content.size);
    return new Map(content);
  }
  const list = items('dict', content);
  budget.spend((COST.entry + COST.container) * list.length);
  const pairs = list.map((pair) =>
    pair instanceof PyTuple || Array.isArray(pair) ? items('dict', pair) : refuse('dict', 'an entry is a pair', pair),
  );
  return new Map(pairs.map(([key, value]) => [key ?? null, value ?? null]));
};

/** A copy of a list, a tuple or a set. */
const copied =
  (name: string, make: (content: PyValue[]) => PyValue, cost: number = COST.item): Builder =>
  ([content], _, budget) => {
    budget.spend(cost * sizeOf(content));
    return make(items(name, content));
  };

/** `_codecs.encode(text, 'latin1')`: how protocol 2 writes bytes. */
const encode: Builder = ([text, encoding], _, budget) => {
  const isLatin1 = encoding === 'latin1' || encoding === 'latin-1' || encoding === 'iso-8859-1';
  if (!isLatin1) return refuse('_codecs.encode', 'the encoding is latin1', encoding);
  return text instanceof LazyBytes ? text : bytesOf(text ?? null, budget);
};

/** `copyreg._reconstructor(cls, object, None)`: how protocols 0 and 1 make objects. */
const reconstruct: Builder = ([cls, base, state], list, budget) => {
  const isPlain = base instanceof PyGlobal && base.name === 'builtins.object' && state === null;
  if (!(cls instanceof PyGlobal) || !isPlain) return refuse('copyreg._reconstructor', 'it makes a plain object', cls);
  return list.build(cls.name, [], budget);
};

const makeBytes: Builder = ([bytes], _, budget) => (bytes === undefined ? new Uint8Array(0) : bytesOf(bytes, budget));

const BUILDERS: Record<string, Builder> = {
  'collections.OrderedDict': makeDict,
  'collections.Counter': makeDict,
  'collections.defaultdict': ([, content], list, budget) =>
    makeDict(content === undefined ? [] : [content], list, budget),
  'builtins.dict': makeDict,
  'builtins.list': copied('list', (content) => [...content]),
  'builtins.tuple': copied('tuple', (content) => new PyTuple([...content])),
  'builtins.set': copied('set', (content) => new Set(content), COST.entry),
  'builtins.frozenset': copied('frozenset', (content) => new Set(content), COST.entry),
  'builtins.bytearray': makeBytes,
  'builtins.bytes': makeBytes,
  '_codecs.encode': encode,
  'copyreg._reconstructor': reconstruct,
  'torch._utils._rebuild_tensor': (args) => rebuildTensor(args, 'v1'),
  'torch._utils._rebuild_tensor_v2': (args) => rebuildTensor(args, 'v2'),
  'torch._utils._rebuild_tensor_v3': (args) => rebuildTensor(args, 'v3'),
  'torch._utils._rebuild_parameter': rebuildParameter,
  'torch._utils._rebuild_parameter_with_state': rebuildParameter,
  'torch._tensor._rebuild_from_type_v2': (args, list, budget) =>
    rebuildFromType(args, (name, inner) => list.build(name, inner, budget)),
  'torch.storage._load_from_bytes': loadFromBytes,
  // Of hyper-parameters.
  'pytorch_lightning.utilities.parsing.AttributeDict': makeDict,
  'torch.Size': copied('torch.Size', (content) => new PyTuple([...content])),
  'torch.device': (args) => new PyTuple(args),
  'numpy.core.multiarray._reconstruct': () => new NumpyArray(),
  'numpy.core.multiarray.scalar': (args, _, budget) => makeScalar(args, budget),
  'numpy.core.numeric._frombuffer': (args, _, budget) => makeFromBuffer(args, budget),
  'numpy.dtype': makeNumpyDtype,
};

// Names that stand for themselves: they are passed as arguments and never make anything.
const VALUES = new Set([
  ...['builtins.object', 'builtins.int', 'builtins.float', 'builtins.str', 'builtins.bool'],
  ...['numpy.ndarray', 'torch.Tensor', 'torch.nn.parameter.Parameter'],
]);

// Lightning before 1.6 writes the states of its callbacks by their classes, in published checkpoints of Stable Diffusion too.
const CALLBACK = /^(pytorch_lightning|lightning\.pytorch)\.callbacks\.[\w.]+$/;

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
      Object.hasOwn(BUILDERS, full) ||
      VALUES.has(full) ||
      CALLBACK.test(full) ||
      STORAGE_NAMES.has(full) ||
      Object.hasOwn(DTYPE_NAMES, full);
    return known || this.#inert.has(full) ? full : undefined;
  }

  /** @throws PickleError when the name makes nothing, or not from these arguments */
  build(name: string, args: PyValue[], budget: PickleBudget): PyValue {
    budget.spend(COST.object);
    if (Object.hasOwn(BUILDERS, name)) return BUILDERS[name](args, this, budget);
    // It has a dict and a list of its own.
    if (this.#inert.has(name)) budget.spend(2 * COST.container);
    if (this.#inert.has(name)) return new InertObject(name, args);
    return refuse(name, 'it is a name and makes nothing', new PyTuple(args));
  }
}
