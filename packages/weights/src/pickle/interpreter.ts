import { throwIfAborted } from '../error.ts';
import { type PickleContext, PickleMachine } from './machine.ts';
import { OPCODES, REFUSED } from './opcodes.ts';
import { PickleError } from './pickle-error.ts';
import type { PickleStream } from './stream.ts';
import type { PyValue } from './values.ts';

// A large model's pickle has some hundred thousand steps.
const MAX_STEPS = 100_000_000;
const STOP = 0x2e;

/** Reads one pickle from a stream and leaves it behind the pickle's end. It builds data and never calls anything: an
 * imported name must be on the allow list, and making an object looks it up in this package's own table of builders.
 * @throws PickleError whose `rule` and message name what was refused */
export async function readPickle(stream: PickleStream, context: PickleContext, signal?: AbortSignal): Promise<PyValue> {
  const machine = new PickleMachine(stream, context);
  try {
    return await run(machine, signal);
  } catch (error) {
    // What a builder refuses does not know the file.
    if (error instanceof PickleError && !error.message.startsWith(stream.name)) machine.fail(error.rule, error.message);
    throw error;
  }
}

async function run(machine: PickleMachine, signal?: AbortSignal): Promise<PyValue> {
  const { stream } = machine;
  for (let step = 0; step < MAX_STEPS; step++) {
    const waiting = stream.prepare();
    if (waiting !== undefined) await waiting;
    if ((step & 0xffff) === 0) throwIfAborted(signal);
    const code = stream.uint8();
    if (code === STOP) return machine.pop();
    const opcode = OPCODES.get(code);
    if (opcode === undefined) return refuse(machine, code);
    const pending = opcode(machine);
    if (pending !== undefined) await pending;
  }
  throw new PickleError('TooLarge', `${stream.name}: a pickle has at most ${MAX_STEPS} steps`);
}

function refuse(machine: PickleMachine, code: number): never {
  const name = REFUSED[code];
  if (name !== undefined) machine.fail('OpcodeRefused', `a pickle uses only what it holds itself; got ${name}`);
  const hex = code.toString(16).padStart(2, '0');
  return machine.fail('BadOpcode', `each step is one of pickle's; got byte 0x${hex}; the file may not be a pickle`);
}
