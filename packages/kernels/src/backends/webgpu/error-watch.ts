import { DeviceError } from './device-errors.ts';

const FILTERS = ['validation', 'out-of-memory', 'internal'] as const;
/** A long run without a read still closes its windows, so that an error is found and its ops are few enough to name. */
const DISPATCHES_PER_WINDOW = 2_000;
const NAMES_IN_MESSAGE = 12;

interface Failure {
  from: number;
  to: number;
  error: DeviceError;
}

/** Turns the errors of a WebGPU device, which arrive later or only on the console, into errors that are thrown.
 * Computation is cut into windows, each inside the device's error scopes. A read closes the window and waits for its
 * scopes. When one reports an error, every tensor written from that window on is void: reading or using it throws. */
export class ErrorWatch {
  private readonly device: GPUDevice;
  private sequence = 0;
  private windowStart = 0;
  private names = new Set<string>();
  private failures: Failure[] = [];
  private open: Promise<void> = Promise.resolve();
  private lost: DeviceError | undefined;
  private closing = false;
  private readonly onFailure: () => void;

  constructor(device: GPUDevice, onFailure: () => void = () => {}) {
    this.device = device;
    this.onFailure = onFailure;
    device.lost.then(({ reason, message }) => {
      if (this.closing) return;
      this.lost = new DeviceError(
        'lost',
        `webgpu: the device must stay; it was lost (${reason}: ${message}); select the backend again`,
      );
    });
    // A net below the scopes: errors of objects that other code makes on this device end up here.
    device.addEventListener('uncapturederror', (event) => {
      this.fail(this.windowStart + 1, [(event as GPUUncapturedErrorEvent).error.message], [...this.names]);
    });
    this.pushScopes();
  }

  /** Notes that `name` is about to write a tensor; returns its place in the order of all writes. */
  note(name: string): number {
    this.names.add(name);
    this.sequence += 1;
    if (this.sequence - this.windowStart >= DISPATCHES_PER_WINDOW) void this.closeWindow().catch(() => {});
    return this.sequence;
  }

  /** The error that voided what was written at `place`, if any. */
  failureAt(place: number): DeviceError | undefined {
    if (this.lost !== undefined) return this.lost;
    return this.failures.find(({ from, to }) => place >= from && place <= to)?.error;
  }

  /** @throws DeviceError when the device is gone */
  throwIfLost(): void {
    if (this.lost !== undefined) throw this.lost;
  }

  /** Ends the current window; settles when the device has answered for it and all earlier ones.
   * @throws DeviceError naming the ops of the window that failed */
  closeWindow(): Promise<void> {
    const from = this.windowStart + 1;
    const names = [...this.names];
    const scopes = FILTERS.map(() => this.device.popErrorScope()).reverse();
    this.pushScopes();
    this.windowStart = this.sequence;
    this.names = new Set();
    const earlier = this.open;
    const closed = (async () => {
      const errors = await Promise.all(scopes.map((scope) => scope.catch((error: Error) => error)));
      await earlier.catch(() => {});
      this.throwIfLost();
      const messages = errors.flatMap((error) => (error ? [firstLine(error.message)] : []));
      if (messages.length === 0) return;
      const outOfMemory = errors[FILTERS.indexOf('out-of-memory')] != null;
      throw this.fail(from, messages, names, outOfMemory);
    })();
    this.open = closed;
    closed.catch(() => {});
    return closed;
  }

  /** After this the device may be destroyed without that being an error. */
  stop(): void {
    this.closing = true;
  }

  private pushScopes(): void {
    for (const filter of FILTERS) this.device.pushErrorScope(filter);
  }

  /** Everything up to now is void: ops that started before the error was known may have used its tensors. */
  private fail(from: number, messages: readonly string[], names: readonly string[], outOfMemory = false): DeviceError {
    const shown = names.slice(0, NAMES_IN_MESSAGE).join(', ') + (names.length > NAMES_IN_MESSAGE ? ', ...' : '');
    const rule = outOfMemory ? 'tensors must fit into the GPU memory' : 'the device must accept every command';
    const remedy = outOfMemory
      ? 'dispose of tensors, work on smaller pieces, or choose another backend'
      : 'work on smaller pieces, or choose another backend';
    const error = new DeviceError(
      outOfMemory ? 'out-of-memory' : 'failed',
      `webgpu: ${rule}; among ${shown || 'the commands of other code'} it reported "${messages.join('; ')}", ` +
        `so the tensors computed since the last read are void; ${remedy}`,
    );
    this.onFailure();
    this.failures.push({ from, to: this.sequence, error });
    return error;
  }
}

/** Dawn adds the chain of calls and its own source lines, which say nothing about the op. */
function firstLine(message: string): string {
  return message.trim().split('\n')[0]!;
}
