/** Milliseconds in which a server has to answer, and in which each further part of its answer has to come. */
const STALL_MS = 30_000;
/** Less than this in that time is a drip. */
const LEAST_BYTES = 16 << 10;

/** An answer that is not what was asked for. Asking again helps against an overloaded server, not against a refusal. */
export class RefusedError extends Error {
  readonly isFinal: boolean;

  constructor(message: string, isFinal: boolean) {
    super(message);
    this.isFinal = isFinal;
  }
}

/** A body that is not what was asked for, so that nothing of it is of use. */
export class OtherBodyError extends RefusedError {
  constructor(message: string) {
    super(message, true);
  }
}

const seconds = (ms: number): string => `${ms / 1000} s`;

/** Asks a server and hands its answer to `use`, which reads the body by `parts`. Ends where no answer comes, or nearly nothing of it, for too
 * long, and where it has more bytes than `most`. @throws RefusedError, or what fetch and `use` throw */
export async function askWithin<T>(
  url: string,
  headers: Record<string, string>,
  { stallMs = STALL_MS }: { readonly stallMs?: number },
  use: (response: Response, parts: (most: number) => AsyncGenerator<Uint8Array>) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let [bytes, needed] = [0, 1];
  const check = (): void => {
    if (bytes < needed) {
      const what = needed === 1 ? 'no answer' : `${bytes} bytes`;
      controller.abort(new RefusedError(`${what} in ${seconds(stallMs)}`, false));
    }
    [bytes, needed] = [0, LEAST_BYTES];
  };
  const timer = setInterval(check, stallMs);
  const parts = async function* (response: Response, most: number): AsyncGenerator<Uint8Array> {
    [bytes, needed] = [0, LEAST_BYTES];
    timer.refresh();
    let total = 0;
    for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      total += part.byteLength;
      bytes += part.byteLength;
      if (total > most) throw new OtherBodyError(`more than the ${most} bytes that it can have`);
      yield part;
    }
  };
  try {
    const response = await fetch(url, { headers, signal: controller.signal });
    return await use(response, (most) => parts(response, most));
  } catch (error) {
    const { message } = ((error as Error).cause ?? error) as Error;
    if (/redirect count exceeded/i.test(message)) throw new RefusedError('redirect after redirect', true);
    throw error;
  } finally {
    clearInterval(timer);
    controller.abort();
  }
}
