import { throwIfAborted } from '../error.ts';
import { type PickleContext, PickleMachine } from './machine.ts';
import { OPCODES, REFUSED } from './opcodes.ts';
import { PickleError } from './pickle-error.ts';
import type { PickleStream } from './stream.ts';
import type { PyValue } from './values.ts';

const STOP = 0x2e;
// How often the clock is asked whether others have waited for long enough.
const STEPS_A_LOOK = 1024;
// A line or a text is read, decoded and awaited: it takes several times as long as a step that does not.
const STEPS_A_READ = 5;

/** Reads one pickle from a stream and leaves it behind the pickle's end. It builds data and never calls anything: an
 * imported name must be on the allow list, and making an object looks it up in this package's own table of builders.
 * @throws PickleError whose `rule` and message name what was refused */
export async function readPickle(stream: PickleStream, context: PickleContext, signal?: AbortSignal): Promise<PyValue> {
  throwIfAborted(signal);
  const machine = new PickleMachine(stream, context);
  try {
    return await run(machine);
  } catch (error) {
    // What a builder refuses does not know the file.
    const named =
      error instanceof PickleError && [stream.name, context.budget.name].some((name) => error.message.startsWith(name));
    if (error instanceof PickleError && !named) machine.fail(error.rule, error.message);
    throw error;
  }
}

async function run(machine: PickleMachine): Promise<PyValue> {
  const { stream, budget } = machine;
  for (let step = 1; ; step++) {
    budget.step();
    const waiting = stream.prepare();
    if (waiting !== undefined) await waiting;
    if (step % STEPS_A_LOOK === 0) {
      const turn = budget.turn();
      if (turn !== undefined) await turn;
    }
    const code = stream.uint8();
    if (code === STOP) return machine.pop();
    const opcode = OPCODES.get(code);
    if (opcode === undefined) return refuse(machine, code);
    const pending = opcode(machine);
    if (pending !== undefined) {
      await pending;
      budget.step(STEPS_A_READ);
    }
  }
}

function refuse(machine: PickleMachine, code: number): never {
  const name = REFUSED[code];
  if (name !== undefined) machine.fail('OpcodeRefused', `a pickle uses only what it holds itself; got ${name}`);
  const hex = code.toString(16).padStart(2, '0');
  return machine.fail('BadOpcode', `each step is one of pickle's; got byte 0x${hex}; the file may not be a pickle`);
}
