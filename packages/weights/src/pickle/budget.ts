import { throwIfAborted } from '../error.ts';
import { PickleError } from './pickle-error.ts';

// Far above what checkpoints need (a full-size model with its optimiser takes 20 MB and a million steps), and little enough that a hostile file is
// refused within two seconds and 512 MB.
const MAX_BYTES = 96e6;
const MAX_STEPS = 6_000_000;

/** About what V8 takes for things of a pickle, in bytes; containers when they are empty. */
export const COST = {
  number: 16,
  text: 32,
  bytes: 400,
  container: 200,
  item: 16,
  entry: 64,
  memo: 48,
  object: 256,
} as const;

const TURN_MS = 20;

/** Gives way to timers, messages and whatever may abort. */
function nextTurn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => void };
  if (setImmediate !== undefined) return new Promise((resolve) => setImmediate(() => resolve()));
  // A page's timers wait for 4 ms, and for a second where it is hidden; messages do not.
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** What one file may take: memory, counted where things are made, and steps. All pickles of a file share one. */
export class PickleBudget {
  readonly name: string;
  readonly #signal: AbortSignal | undefined;
  #bytes = 0;
  #steps = 0;
  #lastTurn = performance.now();

  constructor(name: string, signal?: AbortSignal) {
    this.name = name;
    this.#signal = signal;
  }

  /** @throws PickleError `TooLarge` */
  spend(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > MAX_BYTES) this.#refuse(`takes at most ${MAX_BYTES / 1e6} MB in memory, without its tensors`);
  }

  /** @throws PickleError `TooLarge` */
  step(steps = 1): void {
    this.#steps += steps;
    if (this.#steps > MAX_STEPS) this.#refuse(`has at most ${MAX_STEPS} steps`);
  }

  /** A promise only where others have waited for long enough. @throws what the signal gives as its reason */
  turn(): Promise<void> | undefined {
    if (performance.now() - this.#lastTurn < TURN_MS) return undefined;
    return this.#giveWay();
  }

  async #giveWay(): Promise<void> {
    await nextTurn();
    throwIfAborted(this.#signal);
    this.#lastTurn = performance.now();
  }

  #refuse(rule: string): never {
    throw new PickleError(
      'TooLarge',
      `${this.name}: what a pickle builds ${rule}; got more; save the tensors alone, as torch.save(model.state_dict(), path) does`,
    );
  }
}
