import { RuntimeError, receivedError } from '../protocol/errors.ts';
import type { Answer, CallName, Calls, Endpoint, RuntimeProgress } from '../protocol/messages.ts';
import { workerFailed } from './start-worker.ts';

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RuntimeProgress) => void;
  readonly transfer?: Transferable[];
}

interface Waiting {
  readonly settle: (answer: Exclude<Answer, { kind: 'progress' }>) => void;
  readonly fail: (error: Error) => void;
  readonly onProgress: CallOptions['onProgress'];
}

const disposed = (): RuntimeError =>
  new RuntimeError(
    'Disposed',
    'runtime: it is used until it is disposed of; got a call that had no answer by then; create another',
  );

/** Other code may send messages over the same wire. */
const isAnswer = (data: unknown): data is Answer =>
  typeof data === 'object' && data !== null && 'id' in data && typeof data.id === 'number' && 'kind' in data;

/** Calls over a wire, each with its answer. */
export class Caller {
  readonly #endpoint: Endpoint;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listen: (event: MessageEvent<unknown>) => void;
  /** Of a worker that does not start, or throws what no call answers for. */
  readonly #break: (event: object) => void;
  #next = 0;
  #ended: Error | undefined;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    this.#listen = ({ data }) => {
      if (!isAnswer(data)) return;
      const waiting = this.#waiting.get(data.id);
      if (data.kind === 'progress') waiting?.onProgress?.(data.progress);
      else {
        this.#waiting.delete(data.id);
        waiting?.settle(data);
      }
    };
    this.#break = (event) => {
      const { message } = event as { message?: string };
      this.#failAll(workerFailed(message || 'no reason'));
    };
    endpoint.addEventListener('message', this.#listen);
    endpoint.addEventListener('error', this.#break);
    endpoint.addEventListener('messageerror', this.#break);
    endpoint.start?.();
  }

  /** @throws RuntimeError, or the signal's reason at once when it is aborted; the worker ends the work when it comes to it */
  call<K extends CallName>(
    call: K,
    input: Calls[K]['input'],
    { signal, onProgress, transfer = [] }: CallOptions = {},
  ): Promise<Calls[K]['output']> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) throw this.#ended;
      signal?.throwIfAborted();
      const id = this.#next++;
      const abort = (): void => {
        this.#endpoint.postMessage({ id, call: 'abort' }, []);
        this.#waiting.delete(id);
        reject(signal!.reason as Error);
      };
      const forget = (): void => signal?.removeEventListener('abort', abort);
      this.#waiting.set(id, {
        onProgress,
        settle(answer) {
          forget();
          if (answer.kind === 'done') resolve(answer.output as Calls[K]['output']);
          else reject(receivedError(answer.error));
        },
        fail(error) {
          forget();
          reject(error);
        },
      });
      signal?.addEventListener('abort', abort, { once: true });
      this.#endpoint.postMessage({ id, call, input }, transfer);
    });
  }

  #failAll(error: Error): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { fail } of all) fail(error);
  }

  /** Fails what is under way; the worker ends that when it comes to it. */
  abandon(): void {
    for (const id of this.#waiting.keys()) this.#endpoint.postMessage({ id, call: 'abort' }, []);
    this.#failAll(disposed());
  }

  /** Fails everything from now on. */
  end(): void {
    this.#ended ??= disposed();
    this.abandon();
    this.#endpoint.removeEventListener('message', this.#listen);
    this.#endpoint.removeEventListener('error', this.#break);
    this.#endpoint.removeEventListener('messageerror', this.#break);
  }
}
