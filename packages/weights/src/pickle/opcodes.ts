import { COST } from './budget.ts';
import {
  decimalFloat,
  decimalInteger,
  latin1,
  littleEndianInteger,
  MAX_INTEGER_BYTES,
  unescapePython,
  utf8,
} from './literals.ts';
import type { PickleMachine } from './machine.ts';
import { setNumpyArray, setNumpyDtype } from './numpy.ts';
import {
  describeValue,
  InertObject,
  LazyBytes,
  NumpyArray,
  NumpyDtype,
  type PyGlobal,
  PyTuple,
  type PyValue,
} from './values.ts';

const MAX_PROTOCOL = 5;

/** What one step of a pickle does. A promise only where bytes must be awaited. */
export type Opcode = (m: PickleMachine) => void | Promise<void>;

/** Refused by name: they would reach outside the file. */
export const REFUSED: Readonly<Record<number, string>> = {
  130: 'EXT1, an entry of a registry',
  131: 'EXT2, an entry of a registry',
  132: 'EXT4, an entry of a registry',
  151: 'NEXT_BUFFER, a buffer outside the file',
  152: 'READONLY_BUFFER, a buffer outside the file',
};

const textCost = (length: number): number => COST.text + length;

/** A text with escapes: each of them is looked at by itself. */
function lineCost(m: PickleMachine, length: number): number {
  m.budget.step(length >> 2);
  return COST.text + 2 * length;
}

async function pushText(m: PickleMachine, length: number): Promise<void> {
  const bytes = m.stream.payload(length, 'utf8');
  m.make(bytes instanceof LazyBytes ? bytes : utf8(await bytes), textCost(bytes instanceof LazyBytes ? 0 : length));
}

async function pushBytes(m: PickleMachine, length: number): Promise<void> {
  const bytes = await m.stream.payload(length, 'raw');
  m.make(bytes, COST.bytes + (bytes instanceof LazyBytes ? 0 : length));
}

/** Python 2's str: text here, as `encoding='latin1'` makes it; bytes when long. */
async function pushOldString(m: PickleMachine, length: number): Promise<void> {
  const bytes = m.stream.payload(length, 'raw');
  m.make(bytes instanceof LazyBytes ? bytes : latin1(await bytes), textCost(bytes instanceof LazyBytes ? 0 : length));
}

async function pushQuoted(m: PickleMachine): Promise<void> {
  const text = latin1(await m.stream.line()).trim();
  const quoted = /^(['"])([\s\S]*)\1$/.exec(text);
  if (quoted === null) m.fail('BadNumber', 'a string of protocol 0 stands in quotes; it does not');
  else m.make(unescapePython(quoted[2], false), lineCost(m, text.length));
}

// Long ones are written in decimal digits later, which takes more than they do.
const integerCost = (length: number): number => COST.number + (length > 8 ? 8 * length : 0);

async function pushInteger(m: PickleMachine): Promise<void> {
  const line = await m.stream.line();
  const text = latin1(line);
  // Protocol 0's and 1's booleans.
  if (text === '00' || text === '01') m.push(text === '01');
  else m.make(decimalInteger(line), integerCost(line.length));
}

async function pushLong(m: PickleMachine, length: number): Promise<void> {
  if (length > MAX_INTEGER_BYTES)
    m.fail('BadNumber', `an integer has at most ${MAX_INTEGER_BYTES} bytes; got ${length}`);
  m.make(littleEndianInteger(await m.stream.bytes(length)), integerCost(length));
}

function length32(m: PickleMachine): number {
  const length = m.stream.int32();
  return length >= 0 ? length : m.fail('BadNumber', `a length is not negative; got ${length}`);
}

const LITERALS: [number, Opcode][] = [
  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  [0x49, pushInteger],
  [0x4a, (m) => m.push(m.stream.int32())],
  [0x4b, (m) => m.push(m.stream.uint8())],
  [0x4d, (m) => m.push(m.stream.uint16())],
  [
    0x4c,
    async (m) => {
      const line = await m.stream.line();
      m.make(decimalInteger(line), integerCost(line.length));
    },
  ],
  [0x8a, (m) => pushLong(m, m.stream.uint8())],
  [0x8b, (m) => pushLong(m, length32(m))],
  [0x46, async (m) => m.make(decimalFloat(await m.stream.line()), COST.number)],
  [0x47, (m) => m.make(m.stream.float64(), COST.number)],
  [0x53, pushQuoted],
  [0x54, (m) => pushOldString(m, length32(m))],
  [0x55, (m) => pushOldString(m, m.stream.uint8())],
  [
    0x56,
    async (m) => {
      const text = latin1(await m.stream.line());
      m.make(unescapePython(text, true), lineCost(m, text.length));
    },
  ],
  [0x58, (m) => pushText(m, m.stream.uint32())],
  [0x8c, (m) => pushText(m, m.stream.uint8())],
  [0x8d, (m) => pushText(m, m.stream.uint64())],
  [0x42, (m) => pushBytes(m, m.stream.uint32())],
  [0x43, (m) => pushBytes(m, m.stream.uint8())],
  [0x8e, (m) => pushBytes(m, m.stream.uint64())],
  [0x96, (m) => pushBytes(m, m.stream.uint64())],
];

const listCost = (size: number): number => COST.container + COST.item * size;

function tuple(m: PickleMachine, size: number): void {
  const items: PyValue[] = [];
  for (let i = 0; i < size; i++) items.unshift(m.pop());
  m.make(new PyTuple(items), listCost(size));
}

function toDict(m: PickleMachine, items: PyValue[], into = new Map<PyValue, PyValue>()): Map<PyValue, PyValue> {
  if (items.length % 2 !== 0) m.fail('BadStack', `a dict takes pairs; got ${items.length} values`);
  m.budget.spend((COST.entry * items.length) / 2);
  for (let i = 0; i < items.length; i += 2) into.set(items[i], items[i + 1]);
  return into;
}

function setItems(m: PickleMachine, items: PyValue[]): void {
  const target = m.top();
  if (target instanceof Map) toDict(m, items, target);
  else if (target instanceof InertObject) toDict(m, items, target.items);
  else m.fail('BadStack', `items are set in a dict; got ${describeValue(target)}`);
}

function append(m: PickleMachine, items: PyValue[]): void {
  const target = m.top();
  const list = target instanceof InertObject ? target.list : target;
  if (!Array.isArray(list)) m.fail('BadStack', `values are appended to a list; got ${describeValue(target)}`);
  else {
    m.budget.spend(COST.item * items.length);
    for (const item of items) list.push(item);
  }
}

function addToSet(m: PickleMachine): void {
  const items = m.popToMark();
  const target = m.top();
  if (!(target instanceof Set)) m.fail('BadStack', `values are added to a set; got ${describeValue(target)}`);
  else {
    m.budget.spend(COST.entry * items.length);
    for (const item of items) target.add(item);
  }
}

function fromMark(m: PickleMachine, make: (items: PyValue[]) => PyValue): void {
  const items = m.popToMark();
  m.make(make(items), listCost(items.length));
}

function frozenSet(m: PickleMachine): void {
  const items = m.popToMark();
  m.make(new Set(items), COST.container + COST.entry * items.length);
}

const CONTAINERS: [number, Opcode][] = [
  [0x28, (m) => m.mark()],
  [0x30, (m) => m.discard()],
  [0x31, (m) => void m.popToMark()],
  [0x32, (m) => m.push(m.top())],
  [0x7d, (m) => m.make(new Map(), COST.container)],
  [0x5d, (m) => m.make([], COST.container)],
  [0x29, (m) => m.make(new PyTuple([]), COST.container)],
  [0x8f, (m) => m.make(new Set(), COST.container)],
  [0x64, (m) => m.make(toDict(m, m.popToMark()), COST.container)],
  [0x6c, (m) => fromMark(m, (items) => items)],
  [0x74, (m) => fromMark(m, (items) => new PyTuple(items))],
  [0x85, (m) => tuple(m, 1)],
  [0x86, (m) => tuple(m, 2)],
  [0x87, (m) => tuple(m, 3)],
  [0x91, frozenSet],
  [0x90, addToSet],
  [0x61, (m) => append(m, [m.pop()])],
  [0x65, (m) => append(m, m.popToMark())],
  [0x75, (m) => setItems(m, m.popToMark())],
  [
    0x73,
    (m) => {
      const value = m.pop();
      setItems(m, [m.pop(), value]);
    },
  ],
];

function argumentsOf(m: PickleMachine, value: PyValue): PyValue[] {
  if (value instanceof PyTuple) return value.items;
  return m.fail('ArgumentsRefused', `arguments are a tuple; got ${describeValue(value)}`);
}

function reduce(m: PickleMachine): void {
  const args = argumentsOf(m, m.pop());
  m.push(m.build(m.pop(), args));
}

/** Keyword arguments only where the object is inert, and there they are dropped with it. */
function newObjectWithKeywords(m: PickleMachine): void {
  const keywords = m.pop();
  const args = argumentsOf(m, m.pop());
  if (!(keywords instanceof Map) || keywords.size > 0) {
    m.fail('ArgumentsRefused', `objects are made without keyword arguments; got ${describeValue(keywords)}`);
  }
  m.push(m.build(m.pop(), args));
}

function stackGlobal(m: PickleMachine): void {
  const name = m.pop();
  const module = m.pop();
  if (typeof name === 'string' && typeof module === 'string') m.make(m.importName(module, name), COST.object);
  else m.fail('GlobalRefused', `an import is two strings; got ${describeValue(module)} and ${describeValue(name)}`);
}

async function readGlobal(m: PickleMachine): Promise<PyGlobal> {
  const module = utf8(await m.stream.line());
  return m.importName(module, utf8(await m.stream.line()));
}

function makeFromMark(m: PickleMachine): void {
  const [callee, ...args] = m.popToMark();
  if (callee === undefined) m.fail('BadStack', 'OBJ takes a class; got none');
  else m.push(m.build(callee, args));
}

/** BUILD gives an object its state. What is a plain dict here keeps none: OrderedDict's is hooks and versions. */
function setState(m: PickleMachine): void {
  const state = m.pop();
  const target = m.top();
  if (target instanceof NumpyArray) setNumpyArray(target, state, m.budget);
  else if (target instanceof NumpyDtype) setNumpyDtype(target, state);
  else if (target instanceof InertObject) target.state = state;
  else if (!(target instanceof Map)) m.fail('ArgumentsRefused', `state is not given to ${describeValue(target)}`);
}

function persistent(m: PickleMachine, id: PyValue): void {
  const answer = m.context.persistent?.(id);
  if (answer !== undefined) m.make(answer, COST.object);
  else m.fail('PersistentIdRefused', `a plain pickle refers to nothing outside itself; got ${describeValue(id)}`);
}

function protocol(m: PickleMachine): void {
  const version = m.stream.uint8();
  if (version > MAX_PROTOCOL) m.fail('BadOpcode', `pickle protocols go up to ${MAX_PROTOCOL}; got ${version}`);
}

async function memoIndex(m: PickleMachine): Promise<number> {
  return Number(decimalInteger(await m.stream.line()));
}

const REFERENCES: [number, Opcode][] = [
  [0x80, protocol],
  // A frame says how much may be read at once; the stream knows by itself.
  [0x95, (m) => void m.stream.uint64()],
  [0x63, async (m) => m.make(await readGlobal(m), COST.object)],
  [0x93, stackGlobal],
  [0x52, reduce],
  [0x81, reduce],
  [0x92, newObjectWithKeywords],
  [
    0x69,
    async (m) => {
      const callee = await readGlobal(m);
      m.push(m.build(callee, m.popToMark()));
    },
  ],
  [0x6f, makeFromMark],
  [0x62, setState],
  [0x50, async (m) => persistent(m, latin1(await m.stream.line()))],
  [0x51, (m) => persistent(m, m.pop())],
  [0x70, async (m) => m.remember(await memoIndex(m))],
  [0x71, (m) => m.remember(m.stream.uint8())],
  [0x72, (m) => m.remember(m.stream.uint32())],
  [0x94, (m) => m.rememberNext()],
  [0x67, async (m) => m.recall(await memoIndex(m))],
  [0x68, (m) => m.recall(m.stream.uint8())],
  [0x6a, (m) => m.recall(m.stream.uint32())],
];

/** Every step that is read, by its code. @source Python's Lib/pickletools.py */
export const OPCODES: ReadonlyMap<number, Opcode> = new Map([...LITERALS, ...CONTAINERS, ...REFERENCES]);
