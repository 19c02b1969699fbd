import type { AllowList } from './allow-list.ts';
import { COST, type PickleBudget } from './budget.ts';
import { PickleError, type PickleRule } from './pickle-error.ts';
import type { PickleStream } from './stream.ts';
import { describeValue, PyGlobal, type PyValue } from './values.ts';

// Limits that no real checkpoint comes near; what is made is bounded by the budget.
const MAX_STACK = 2_000_000;
const MAX_MARKS = 100_000;

/** What a pickle may refer to. */
export interface PickleContext {
  readonly allowList: AllowList;
  /** Shared by all pickles of a file. */
  readonly budget: PickleBudget;
  /** Answers a persistent id, as torch.save uses them; undefined where none may occur. */
  readonly persistent?: (id: PyValue) => PyValue;
}

/** The stack, the marks and the memo of one pickle being read. */
export class PickleMachine {
  readonly stream: PickleStream;
  readonly context: PickleContext;
  readonly budget: PickleBudget;
  #stack: PyValue[] = [];
  readonly #outer: PyValue[][] = [];
  readonly #memo = new Map<number, PyValue>();
  #held = 0;

  constructor(stream: PickleStream, context: PickleContext) {
    this.stream = stream;
    this.context = context;
    this.budget = context.budget;
  }

  fail(rule: PickleRule, message: string): never {
    throw new PickleError(rule, `${this.stream.name}: ${message} (before byte ${this.stream.position})`);
  }

  push(value: PyValue): void {
    this.#stack.push(value);
    if (this.#stack.length + this.#held > MAX_STACK)
      this.fail('TooLarge', `at most ${MAX_STACK} values are on the stack`);
  }

  /** Pushes what has just been made, which takes `bytes` of memory. */
  make(value: PyValue, bytes: number): void {
    this.budget.spend(bytes);
    this.push(value);
  }

  pop(): PyValue {
    const value = this.#stack.pop();
    return value === undefined
      ? this.fail('BadStack', 'a step takes what earlier ones left; got an empty stack')
      : value;
  }

  top(): PyValue {
    const value = this.#stack.at(-1);
    return value === undefined
      ? this.fail('BadStack', 'a step takes what earlier ones left; got an empty stack')
      : value;
  }

  /** Pops a value, or, where there is none since the last mark, the mark itself, as Python does. */
  discard(): void {
    if (this.#stack.length > 0) this.#stack.pop();
    else this.popToMark();
  }

  mark(): void {
    if (this.#outer.length >= MAX_MARKS) this.fail('TooLarge', `at most ${MAX_MARKS} marks are open`);
    this.#outer.push(this.#stack);
    this.#held += this.#stack.length;
    this.#stack = [];
  }

  /** Everything since the last mark. */
  popToMark(): PyValue[] {
    const items = this.#stack;
    const outer = this.#outer.pop();
    if (outer === undefined) return this.fail('BadStack', 'a mark is set before it is used; got none');
    this.#stack = outer;
    this.#held -= outer.length;
    return items;
  }

  remember(index: number): void {
    if (!Number.isSafeInteger(index) || index < 0) this.fail('BadMemo', `a memo has a whole index; got ${index}`);
    this.budget.spend(COST.memo);
    this.#memo.set(index, this.top());
  }

  rememberNext(): void {
    this.remember(this.#memo.size);
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.fail('BadMemo', `a value is remembered before it is recalled; got index ${index}`);
    else this.push(value);
  }

  /** The entry of an imported name; anything that is not on the list ends the reading. */
  importName(module: string, name: string): PyGlobal {
    const full = this.context.allowList.resolve(module, name);
    if (full !== undefined) return new PyGlobal(full);
    return this.fail(
      'GlobalRefused',
      `a pickle names only what is on the list of tensors and plain data; got ${printable(`${module}.${name}`)}; nothing was run; ` +
        'save the state_dict alone in PyTorch',
    );
  }

  /** What Python would get from calling an imported name: data, made by this package. */
  build(callee: PyValue, args: PyValue[]): PyValue {
    if (!(callee instanceof PyGlobal)) {
      return this.fail('GlobalRefused', `only imported names make objects; got ${describeValue(callee)}`);
    }
    return this.context.allowList.build(callee.name, args, this.budget);
  }
}

// A hostile name may hold anything; a message holds one readable line.
function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
