export interface MapAheadOptions<Result> {
  /** How many items are worked on or lie ready beyond the one that was taken last; default 2. */
  readonly ahead?: number;
  /** Stops everything; the loop then ends with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Frees a result that nobody will take, since the loop has ended. */
  readonly discard?: (result: Result) => void;
}

/** What one item has become; undefined behind the last one. */
type Outcome<Result> =
  | { readonly result: Result }
  | { readonly error: unknown; readonly of: 'item' | 'source' }
  | undefined;

/** What a promise becomes, or the signal's reason, whichever is first. Racing against one promise of the signal would keep every result alive
 * until that promise ends, with the loop. */
function unlessStopped<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    const forget = (): void => signal.removeEventListener('abort', onAbort);
    promise.then(resolve, reject).finally(forget);
  });
}

type Run<Item, Result> = (item: Item, index: number, signal: AbortSignal) => Promise<Result> | Result;

/** Items that are worked on, each pulled from the source when the one before it has come. */
function workOn<Item, Result>(
  items: Iterator<Item> | AsyncIterator<Item>,
  run: Run<Item, Result>,
  signal: AbortSignal,
): () => Promise<Outcome<Result>> {
  let pulled: Promise<unknown> = Promise.resolve();
  let isOver = false;
  let count = 0;
  const outcomeOf = async (
    pull: Promise<IteratorResult<Item> | undefined>,
    index: number,
  ): Promise<Outcome<Result>> => {
    let of: 'item' | 'source' = 'source';
    try {
      const next = await pull;
      if (next === undefined || next.done) {
        isOver = true;
        return undefined;
      }
      of = 'item';
      return { result: await run(next.value, index, signal) };
    } catch (error) {
      isOver = true;
      return { error, of };
    }
  };
  return () => {
    const pull = pulled.then(() => {
      if (isOver) return undefined;
      const next = items.next();
      return next instanceof Promise ? unlessStopped(signal, next) : next;
    });
    pulled = pull.catch(() => {});
    return outcomeOf(pull, count++);
  };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Works on items ahead of the one that is asked for, and gives the results in the items' order. An item that fails
 * ends the loop when its turn comes, and no further ones begin; then, at a `break`, or by the signal, `run`'s own
 * signal stops what is under way.
 * @throws in the loop: what an item or the source has thrown, with the item's number; the signal's reason */
export async function* mapAhead<Item, Result>(
  source: AsyncIterable<Item> | Iterable<Item>,
  run: Run<Item, Result>,
  { ahead = 2, signal, discard }: MapAheadOptions<Result> = {},
): AsyncGenerator<Result, void, undefined> {
  if (!(Number.isSafeInteger(ahead) && ahead >= 1)) {
    throw new Error(`mapAhead: ahead is a whole number of at least 1; got ${ahead}; 2 is usual`);
  }
  const own = new AbortController();
  const inner = signal === undefined ? own.signal : AbortSignal.any([signal, own.signal]);
  const items = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const begin = workOn(items, run, inner);
  const queue: Promise<Outcome<Result>>[] = [];
  try {
    for (let index = 0; ; index++) {
      inner.throwIfAborted();
      while (queue.length <= ahead) queue.push(begin());
      const outcome = await unlessStopped(inner, queue[0] as Promise<Outcome<Result>>);
      if (outcome === undefined) return;
      queue.shift();
      if ('error' in outcome) {
        const what = outcome.of === 'item' ? `item ${index}` : `the source, at item ${index},`;
        throw new Error(`mapAhead: ${what} failed: ${messageOf(outcome.error)}`, { cause: outcome.error });
      }
      yield outcome.result;
    }
  } finally {
    own.abort(new Error('mapAhead: nobody takes any more results'));
    for (const each of await Promise.all(queue)) if (each !== undefined && 'result' in each) discard?.(each.result);
    // Not awaited: a source that waits for something would never get to its end.
    Promise.resolve(items.return?.()).catch(() => {});
  }
}
