import { COST, type PickleBudget } from '../pickle/budget.ts';
import { PickleError } from '../pickle/pickle-error.ts';
import {
  InertObject,
  LazyBytes,
  NumpyArray,
  PyGlobal,
  PyTuple,
  type PyValue,
  TorchStorage,
  TorchTensor,
} from '../pickle/values.ts';

const MAX_DEPTH = 100;
// A view of a tensor, its functions and its places in three maps.
const TENSOR_BYTES = 600;

/** What is a tensor in a pickle. */
export type TensorValue = TorchTensor | NumpyArray;

export const isTensor = (value: PyValue): value is TensorValue =>
  value instanceof TorchTensor || value instanceof NumpyArray;

/** A key as a message has it. */
export const shortened = (key: string): string => (key.length > 200 ? `${key.slice(0, 200)}...` : key);

/** What lies one step below a value, by name. */
function* children(value: PyValue): Generator<[string, PyValue]> {
  if (value instanceof Map) {
    for (const [key, child] of value) {
      if (typeof key === 'string' || typeof key === 'number') yield [String(key), child];
    }
    return;
  }
  const items = value instanceof PyTuple ? value.items : value;
  if (!Array.isArray(items)) return;
  for (let i = 0; i < items.length; i++) yield [String(i), items[i]];
}

function childAt(value: PyValue, path: string): [string, PyValue] | undefined {
  for (const child of children(value)) {
    if (path === child[0] || path.startsWith(`${child[0]}.`)) return child;
  }
  return undefined;
}

function firstNames(value: PyValue): string[] {
  const names: string[] = [];
  for (const [step] of children(value)) {
    names.push(shortened(step));
    if (names.length === 10) break;
  }
  return names;
}

/** Every tensor below a value by its path, steps joined with dots.
 * @throws PickleError `BadStructure` where two have one path or values nest too deep, `TooLarge` where there is no end of them */
export function flattenTensors(where: string, root: PyValue, budget: PickleBudget): Map<string, TensorValue> {
  const found = new Map<string, TensorValue>();
  const fail = (message: string): never => {
    throw new PickleError('BadStructure', `${where}: ${message}`);
  };
  const visit = (value: PyValue, path: string, depth: number): void => {
    // A dict that holds itself nests for ever; one that holds the same list many times grows without end.
    budget.step();
    if (depth > MAX_DEPTH) fail(`values nest at most ${MAX_DEPTH} deep; got more at "${path.slice(0, 80)}..."`);
    if (isTensor(value)) {
      // Its path is a text now, and so are its entries in what is made of it.
      budget.spend(COST.text + path.length + TENSOR_BYTES);
      if (found.has(path)) fail(`tensors have paths of their own; got two at "${shortened(path)}"`);
      found.set(path, value);
      return;
    }
    for (const [step, child] of children(value)) visit(child, path === '' ? step : `${path}.${step}`, depth + 1);
  };
  visit(root, '', 0);
  return found;
}

function holdsTensors(dict: Map<PyValue, PyValue>): boolean {
  for (const child of dict.values()) if (isTensor(child)) return true;
  return false;
}

/** The part of a file that holds its tensors: itself, or the one dict in it that does, such as `state_dict`.
 * '' where there is no single one. */
export function findRoot(value: PyValue): string {
  if (!(value instanceof Map)) return '';
  if (holdsTensors(value)) return '';
  const known = new Map<PyValue, boolean>();
  let root: string | undefined;
  for (const [key, child] of value) {
    if (typeof key !== 'string' || !(child instanceof Map)) continue;
    // Many entries may be the same dict.
    const holds = known.get(child) ?? holdsTensors(child);
    known.set(child, holds);
    if (holds && root !== undefined) return '';
    if (holds) root = key;
  }
  return root ?? '';
}

/** The value at a path of dict keys. @throws PickleError `BadStructure` when there is none */
export function valueAt(where: string, root: PyValue, path: string): PyValue {
  if (path === '') return root;
  const found = childAt(root, path);
  if (found !== undefined) return valueAt(where, found[1], path.slice(found[0].length + 1));
  throw new PickleError(
    'BadStructure',
    `${where}: the root is a part of the file; got "${path}"; it has ${firstNames(root).join(', ')}`,
  );
}

/** A pickle's value as plain JavaScript: dicts with text keys as objects, others as Maps, tuples as arrays, tensors as
 * what `tensor` makes of them. What two places share stays shared. */
export function toPlain(root: PyValue, tensor: (value: TensorValue) => unknown, budget: PickleBudget): unknown {
  const done = new Map<PyValue, unknown>();
  const convert = (value: PyValue, depth: number): unknown => {
    if (value === null || typeof value !== 'object') return value;
    if (done.has(value)) return done.get(value);
    if (depth > MAX_DEPTH) throw new PickleError('BadStructure', `pickle: values nest at most ${MAX_DEPTH} deep`);
    if (isTensor(value)) return remember(value, tensor(value));
    if (value instanceof PyGlobal) return value.name;
    if (value instanceof InertObject) return remember(value, { class: value.className });
    if (value instanceof TorchStorage || value instanceof LazyBytes) return remember(value, {});
    budget.step();
    if (Array.isArray(value) || value instanceof PyTuple || value instanceof Set) {
      budget.spend(COST.container + COST.memo);
      const out: unknown[] = [];
      done.set(value, out);
      for (const item of value instanceof PyTuple ? value.items : value) {
        budget.spend(COST.item);
        out.push(convert(item, depth + 1));
      }
      return out;
    }
    return value instanceof Map ? convertDict(value, depth) : value;
  };
  const remember = (value: PyValue, plain: unknown): unknown => {
    done.set(value, plain);
    return plain;
  };
  const convertDict = (dict: Map<PyValue, PyValue>, depth: number): unknown => {
    const named = [...dict.keys()].every((key) => typeof key === 'string');
    const out: Record<string, unknown> | Map<unknown, unknown> = named ? Object.create(null) : new Map();
    done.set(dict, out);
    budget.spend(COST.container + COST.memo + COST.entry * dict.size);
    for (const [key, child] of dict) {
      if (out instanceof Map) out.set(convert(key, depth + 1), convert(child, depth + 1));
      else out[key as string] = convert(child, depth + 1);
    }
    return out;
  };
  return convert(root, 0);
}
