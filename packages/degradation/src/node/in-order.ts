type List<T> = Iterable<T> | AsyncIterable<T>;

/** The result of one item, or its error. */
export interface ItemOutcome<R> {
  readonly index: number;
  readonly result?: R;
  readonly error?: Error;
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

function iteratorOf<T>(list: List<T>): AsyncIterator<T> | Iterator<T> {
  return Symbol.asyncIterator in list ? list[Symbol.asyncIterator]() : list[Symbol.iterator]();
}

/** Items of a list that are under way, in order. */
class Line<T, R> {
  readonly #iterator: AsyncIterator<T> | Iterator<T>;
  readonly #run: (item: T, stop: AbortSignal) => Promise<R>;
  readonly #stop = new AbortController();
  readonly #running: Promise<ItemOutcome<R>>[] = [];
  #taking: Promise<undefined> | undefined;
  #taken = 0;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #wake = (): void => {};

  constructor(list: List<T>, run: (item: T, stop: AbortSignal) => Promise<R>) {
    this.#iterator = iteratorOf(list);
    this.#run = run;
  }

  async #take(): Promise<undefined> {
    try {
      const next = await this.#iterator.next();
      if (next.done) this.#ended = true;
      if (next.done || this.#stop.signal.aborted) return;
      const index = this.#taken++;
      const done = this.#run(next.value, this.#stop.signal).then(
        (result) => ({ index, result }),
        (error: unknown) => ({ index, error: asError(error) }),
      );
      this.#running.push(done);
    } catch (error) {
      this.#ended = true;
      this.#failure = { error };
    }
  }

  /** The next item's outcome, or undefined after the last. @throws the reason of abort, and what the list has thrown */
  async next(ahead: number): Promise<ItemOutcome<R> | undefined> {
    for (;;) {
      this.#stop.signal.throwIfAborted();
      if (!this.#ended && this.#taking === undefined && this.#running.length < ahead) {
        this.#taking = this.#take().then(() => {
          this.#taking = undefined;
          return undefined;
        });
      }
      if (this.#running.length === 0 && this.#taking === undefined) {
        if (this.#failure !== undefined) throw this.#failure.error;
        return undefined;
      }
      // Made anew for each wait: what waits for a promise that never comes is kept for as long as that.
      const woken = new Promise<undefined>((resolve) => {
        this.#wake = () => resolve(undefined);
      });
      const taking = this.#taking === undefined ? [] : [this.#taking];
      const first = await Promise.race([...this.#running.slice(0, 1), ...taking, woken]);
      if (first === undefined || this.#stop.signal.aborted) continue;
      this.#running.shift();
      return first;
    }
  }

  abort(reason: unknown): void {
    this.#stop.abort(reason);
    this.#wake();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    if (this.#ended) return;
    const closing = Promise.resolve(this.#iterator.return?.());
    // A list that is just asked for its next item closes after it, which may be never.
    if (this.#taking === undefined) await closing;
    else closing.catch(() => {});
  }
}

/** Runs a list's items, of which at most `ahead` are taken and not handed out, and gives their outcomes in order. A slow list does not
 * hold back what is done. At the end, whichever way it comes, the rest is told to stop and the list is closed.
 * @throws the signal's reason; what the list throws, after the items before */
export async function* inOrder<T, R>(
  list: List<T>,
  run: (item: T, stop: AbortSignal) => Promise<R>,
  ahead: number,
  signal?: AbortSignal,
): AsyncGenerator<ItemOutcome<R>, void, undefined> {
  signal?.throwIfAborted();
  const line = new Line(list, run);
  const abort = (): void => line.abort(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for (;;) {
      const outcome = await line.next(ahead);
      if (outcome === undefined) return;
      yield outcome;
    }
  } finally {
    signal?.removeEventListener('abort', abort);
    await line.close();
  }
}
