import { sentError } from '../protocol/errors.ts';
import type { Answer, CallMessage, CallName, Endpoint, OpenInput } from '../protocol/messages.ts';
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

/** A call or an abort, of whichever version; what other code sends has no number. */
interface Numbered {
  readonly id: number;
  readonly call: string;
  readonly input?: unknown;
}

const isNumbered = (data: unknown): data is Numbered =>
  typeof data === 'object' &&
  data !== null &&
  'id' in data &&
  typeof data.id === 'number' &&
  'call' in data &&
  typeof data.call === 'string';

/** What a call must have. An image is looked at where it is used. */
const WANTED: Readonly<Record<CallName, (input: object) => boolean>> = {
  open: (input) => 'model' in input && typeof input.model === 'string',
  restore: (input) => 'image' in input && typeof input.image === 'object' && input.image !== null,
  segment: (input) => 'image' in input && typeof input.image === 'object' && input.image !== null,
  attend: (input) => 'image' in input && typeof input.image === 'object' && input.image !== null,
  memory: () => true,
  close: () => true,
};

const isCall = (message: Numbered): message is CallMessage =>
  Object.hasOwn(WANTED, message.call) && WANTED[message.call as CallName](Object(message.input ?? {}) as object);

const unknown = ({ call }: Numbered): Error =>
  Object.assign(
    new Error(
      `runtime: its worker is sent calls of its own version; got ${JSON.stringify(call)}; serve page and worker of one build`,
    ),
    { rule: 'BadMessage' },
  );

/** Answers calls one after the other: they share a device. */
export function serve(endpoint: Endpoint, ownWasm?: OpenInput['wasmPaths']): void {
  const session = openSession(ownWasm);
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
      post({ id, kind: 'failed', error: sentError(error, call) });
    } finally {
      controllers.delete(id);
    }
  };

  let last: Promise<void> = Promise.resolve();
  endpoint.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
    if (!isNumbered(data)) return;
    const { id } = data;
    if (data.call === 'abort') {
      controllers.get(id)?.abort();
      return;
    }
    if (!isCall(data)) {
      post({ id, kind: 'failed', error: sentError(unknown(data)) });
      return;
    }
    controllers.set(id, new AbortController());
    const message = data;
    last = last.then(() => answer(message));
  });
  endpoint.start?.();
}
