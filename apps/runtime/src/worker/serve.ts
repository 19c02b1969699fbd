import { sentError } from '../protocol/errors.ts';
import type { Answer, CallMessage, Endpoint, Request } from '../protocol/messages.ts';
import { type CallContext, openSession } from './session.ts';

/** The buffers of an output that is given away. */
function transfersOf(output: unknown): Transferable[] {
  if (output === null || typeof output !== 'object') return [];
  return Object.values(output).flatMap((value) => {
    if (value instanceof Uint8Array) return [value.buffer as ArrayBuffer];
    return value !== null && typeof value === 'object' && 'data' in value && value.data instanceof Uint8Array
      ? [value.data.buffer as ArrayBuffer]
      : [];
  });
}

/** Answers calls one after the other: they share a device. */
export function serve(endpoint: Endpoint): void {
  const session = openSession();
  const controllers = new Map<number, AbortController>();
  const post = (answer: Answer, transfer: Transferable[] = []): void => endpoint.postMessage(answer, transfer);

  const answer = async ({ id, call, input }: CallMessage): Promise<void> => {
    const controller = controllers.get(id)!;
    const context: CallContext = {
      signal: controller.signal,
      tell: (progress) => post({ id, kind: 'progress', progress }),
    };
    try {
      controller.signal.throwIfAborted();
      const handler = session[call] as (input: unknown, context: CallContext) => Promise<unknown>;
      const output = await handler(input, context);
      controller.signal.throwIfAborted();
      post({ id, kind: 'done', output }, transfersOf(output));
    } catch (error) {
      post({ id, kind: 'failed', error: sentError(error) });
    } finally {
      controllers.delete(id);
    }
  };

  let last: Promise<void> = Promise.resolve();
  endpoint.addEventListener('message', ({ data }: MessageEvent<Request>) => {
    if (data.call === 'abort') {
      controllers.get(data.id)?.abort();
      return;
    }
    controllers.set(data.id, new AbortController());
    const message = data;
    last = last.then(() => answer(message));
  });
  endpoint.start?.();
}
