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
const MAX_VISITS = 5_000_000;

/** What is a tensor in a pickle. */
export type TensorValue = TorchTensor | NumpyArray;

export const isTensor = (value: PyValue): value is TensorValue =>
  value instanceof TorchTensor || value instanceof NumpyArray;

/** What lies one step below a value, by name. */
function children(value: PyValue): [string, PyValue][] {
  if (value instanceof Map) {
    return [...value].flatMap(([key, child]): [string, PyValue][] =>
      typeof key === 'string' || typeof key === 'number' ? [[String(key), child]] : [],
    );
  }
  if (Array.isArray(value)) return value.map((child, index) => [String(index), child]);
  if (value instanceof PyTuple) return value.items.map((child, index) => [String(index), child]);
  return [];
}

/** Every tensor below a value by its path, steps joined with dots.
 * @throws PickleError `BadStructure` where two have one path, or the structure has no end */
export function flattenTensors(where: string, root: PyValue): Map<string, TensorValue> {
  const found = new Map<string, TensorValue>();
  let visits = 0;
  const fail = (message: string): never => {
    throw new PickleError('BadStructure', `${where}: ${message}`);
  };
  const visit = (value: PyValue, path: string, depth: number): void => {
    // A dict that holds itself nests for ever; one that holds the same list many times grows without end.
    if (++visits > MAX_VISITS) fail(`a checkpoint has at most ${MAX_VISITS} values`);
    if (depth > MAX_DEPTH) fail(`values nest at most ${MAX_DEPTH} deep; got more at "${path.slice(0, 80)}..."`);
    if (isTensor(value)) {
      if (found.has(path)) fail(`tensors have paths of their own; got two at "${path}"`);
      found.set(path, value);
      return;
    }
    for (const [step, child] of children(value)) visit(child, path === '' ? step : `${path}.${step}`, depth + 1);
  };
  visit(root, '', 0);
  return found;
}

/** The part of a file that holds its tensors: itself, or the one dict in it that does, such as `state_dict`.
 * '' where there is no single one. */
export function findRoot(value: PyValue): string {
  if (!(value instanceof Map)) return '';
  const holdsTensors = (child: PyValue): boolean => child instanceof Map && [...child.values()].some(isTensor);
  if (holdsTensors(value)) return '';
  const candidates = [...value].filter(([key, child]) => typeof key === 'string' && holdsTensors(child));
  return candidates.length === 1 ? String(candidates[0][0]) : '';
}

/** The value at a path of dict keys. @throws PickleError `BadStructure` when there is none */
export function valueAt(where: string, root: PyValue, path: string): PyValue {
  if (path === '') return root;
  const found = children(root).find(([step]) => path === step || path.startsWith(`${step}.`));
  if (found !== undefined) return valueAt(where, found[1], path.slice(found[0].length + 1));
  const names = children(root)
    .map(([step]) => step)
    .slice(0, 10);
  throw new PickleError(
    'BadStructure',
    `${where}: the root is a part of the file; got "${path}"; it has ${names.join(', ')}`,
  );
}

/** A pickle's value as plain JavaScript: dicts with text keys as objects, others as Maps, tuples as arrays, tensors as
 * what `tensor` makes of them. What two places share stays shared. */
export function toPlain(root: PyValue, tensor: (value: TensorValue) => unknown): unknown {
  const done = new Map<PyValue, unknown>();
  const convert = (value: PyValue, depth: number): unknown => {
    if (value === null || typeof value !== 'object') return value;
    if (done.has(value)) return done.get(value);
    if (depth > MAX_DEPTH) throw new PickleError('BadStructure', `pickle: values nest at most ${MAX_DEPTH} deep`);
    if (isTensor(value)) return remember(value, tensor(value));
    if (value instanceof PyGlobal) return value.name;
    if (value instanceof InertObject) return remember(value, { class: value.className });
    if (value instanceof TorchStorage || value instanceof LazyBytes) return remember(value, {});
    if (Array.isArray(value) || value instanceof PyTuple || value instanceof Set) {
      const out: unknown[] = [];
      done.set(value, out);
      for (const item of value instanceof PyTuple ? value.items : value) out.push(convert(item, depth + 1));
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
    for (const [key, child] of dict) {
      if (out instanceof Map) out.set(convert(key, depth + 1), convert(child, depth + 1));
      else out[key as string] = convert(child, depth + 1);
    }
    return out;
  };
  return convert(root, 0);
}
