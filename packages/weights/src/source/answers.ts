import { throwIfAborted, WeightsError } from '../error.ts';

/** How a server is asked, and for how long it is waited for. */
export interface RequestOptions {
  /** Sent with every request, for example `{ Authorization: 'Bearer ...' }`. */
  headers?: Record<string, string>;
  /** In place of the global fetch: to count, to test. */
  fetch?: typeof fetch;
  signal?: AbortSignal;
  /** Milliseconds in which a server has to answer, and in which each part of an answer of at least 16 KiB has to come; default 30,000. */
  stallMs?: number;
  /** How often a server is asked that does not answer, breaks off or is overloaded; default 4. */
  tries?: number;
  /** Milliseconds until it is asked again, twice as long each time; default 500. */
  retryMs?: number;
}

const STALL_MS = 30_000;
const TRIES = 4;
const RETRY_MS = 500;
/** Less than this in a stall's time is a drip: at 16 KiB in 30 s a megabyte takes half an hour. */
const LEAST_BYTES = 16 << 10;
/** Answers after which it helps to ask again. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A failure that may pass. */
class Passing extends Error {
  readonly error: WeightsError;

  constructor(error: WeightsError) {
    super(error.message);
    this.error = error;
  }
}

const passing = (rule: string, message: string, cause?: unknown): Passing =>
  new Passing(new WeightsError(rule, message, { cause }));

/** What fetch says, with what lies behind it: Node's says no more than "fetch failed". */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const behind = cause.cause instanceof Error ? cause.cause.message : '';
  return behind === '' ? cause.message : `${cause.message}: ${behind}`;
}

function unanswered(url: string, cause: unknown): never {
  if (cause instanceof WeightsError || cause instanceof Passing) throw cause;
  const reason = reasonOf(cause);
  if (/redirect count exceeded/i.test(reason)) {
    throw new WeightsError(
      'RedirectLoop',
      `${url}: the server sends on to the file at last; got redirect after redirect; open the address in a browser`,
      { cause },
    );
  }
  throw passing('Unreachable', `${url}: the server answers; got "${reason}"`, cause);
}

/** An answer, whose body is read with an eye on its length and speed. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body's parts as they come. @throws what ends the try */
  parts(): AsyncGenerator<Uint8Array<ArrayBuffer>>;
  /** @throws WeightsError `NotFound` or `HttpStatus`, at once or when it has not passed */
  refuse(): never;
}

function refuseStatus(url: string, { status, statusText }: Response): never {
  const rule = status === 404 || status === 410 ? 'NotFound' : 'HttpStatus';
  const message = `${url}: the server answers 200 or 206; got ${status} ${statusText}`.trimEnd();
  if (PASSING.has(status)) throw passing(rule, message);
  throw new WeightsError(rule, message);
}

/** Ends a request where nothing, or nearly nothing, comes for too long. */
class Watch {
  readonly controller = new AbortController();
  /** Rejects when the request is to end, whether or not fetch listens. */
  readonly ended: Promise<never>;
  readonly #stalled: () => void;
  readonly #ms: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #bytes = 0;
  #needed = 1;

  constructor(url: string, { stallMs = STALL_MS, signal }: RequestOptions) {
    this.#ms = stallMs;
    const { controller } = this;
    this.#stalled = () => {
      if (this.#bytes >= this.#needed) return this.reset();
      const got = this.#needed === 1 ? 'no answer' : `${this.#bytes} bytes`;
      const message = `${url}: a server answers, and goes on, within ${stallMs / 1000} s; got ${got}; try again, or raise stallMs`;
      controller.abort(passing('Stalled', message));
    };
    signal?.addEventListener('abort', () => controller.abort(signal.reason), { signal: controller.signal });
    this.ended = new Promise((_, reject) => {
      controller.signal.addEventListener('abort', () => reject(controller.signal.reason as Error), { once: true });
    });
    this.ended.catch(() => {});
    this.reset(1);
  }

  /** Begins a new stretch of time, in which this much has to come. */
  reset(needed = LEAST_BYTES): void {
    clearTimeout(this.#timer);
    this.#bytes = 0;
    this.#needed = needed;
    this.#timer = setTimeout(this.#stalled, this.#ms);
  }

  count(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Also ends what of the body was not read. */
  stop(): void {
    clearTimeout(this.#timer);
    this.controller.abort();
  }
}

async function* partsOf(url: string, response: Response, watch: Watch): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  watch.reset();
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  const { signal } = watch.controller;
  const cancel = (): void => void reader.cancel().catch(() => {});
  // In place of a race for each part, which would hold on to it until the end: a read that waits ends, whether or not fetch listens.
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  try {
    while (true) {
      const { done, value } = await reader.read().catch((cause) => unanswered(url, signal.reason ?? cause));
      if (signal.aborted) unanswered(url, signal.reason);
      if (done) return;
      watch.count(value.byteLength);
      yield value as Uint8Array<ArrayBuffer>;
    }
  } finally {
    cancel();
  }
}

async function askOnce<T>(
  url: string,
  options: RequestOptions,
  headers: Record<string, string>,
  use: (answer: Answer) => Promise<T>,
): Promise<T> {
  const watch = new Watch(url, options);
  try {
    const init = { headers: { ...options.headers, ...headers }, signal: watch.controller.signal };
    const asking = (options.fetch ?? fetch)(url, init);
    const response = await Promise.race([asking, watch.ended]).catch((cause) => unanswered(url, cause));
    return await use({
      status: response.status,
      headers: response.headers,
      parts: () => partsOf(url, response, watch),
      refuse: () => refuseStatus(url, response),
    });
  } finally {
    watch.stop();
  }
}

/** A pause that an abort ends. */
const pause = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => resolve(clearTimeout(timer)), { once: true });
  });

/** Asks a server, again where it does not answer, breaks off or is overloaded. `headersOf`: of each try, which may go on where the last one
 * broke off. `progress`: how much has come; tries are counted anew where it was much.
 * @throws WeightsError `Unreachable`, `Stalled`, `RedirectLoop`, what `use` throws, or the signal's reason */
export async function ask<T>(
  url: string,
  options: RequestOptions,
  headersOf: () => Record<string, string>,
  use: (answer: Answer) => Promise<T>,
  progress: () => number = () => 0,
): Promise<T> {
  const { signal, tries = TRIES, retryMs = RETRY_MS } = options;
  let [left, wait, before] = [tries, retryMs, 0];
  while (true) {
    throwIfAborted(signal);
    try {
      return await askOnce(url, options, headersOf(), use);
    } catch (error) {
      throwIfAborted(signal);
      if (!(error instanceof Passing)) throw error;
      if (progress() - before >= LEAST_BYTES) [left, wait, before] = [tries, retryMs, progress()];
      left -= 1;
      // Without a network there is no use in asking again.
      if (left <= 0 || globalThis.navigator?.onLine === false) throw error.error;
    }
    await pause(wait, signal);
    wait *= 2;
  }
}

/** The error for an answer that ends before all of it has come. */
export const brokenOff = (url: string, got: number, of: number): Error =>
  passing('Unreachable', `${url}: the server answers; got ${got} of ${of} bytes, and then its end`);
