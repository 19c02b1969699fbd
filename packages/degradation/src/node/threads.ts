import { Worker } from 'node:worker_threads';
import type { Degraded } from '../degrade.ts';
import type { FloatImage, RgbImage } from '../image.ts';
import type { DegradationSettings } from '../settings/settings.ts';
import type { WorkerJob, WorkerReply } from './worker-message.ts';

// From the sources the worker is a TypeScript file, published it is not.
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const WORKER = new URL(`./degradation-worker.${extension}`, import.meta.url);

type Result = Degraded<RgbImage | FloatImage>;

interface Waiting {
  readonly job: WorkerJob;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/** A place for a thread, which is started when it is first needed, and again after it has ended. */
interface Place {
  worker?: Worker;
  doing?: Waiting;
}

const closedError = (): Error =>
  new Error('degradation: a pool works until it is closed; it is closed; open another one');

/** Threads that degrade images, each one at a time, in the order in which they are asked for. */
export class Threads {
  readonly #settings: DegradationSettings;
  readonly #file: URL;
  readonly #places: Place[];
  readonly #queue: Waiting[] = [];
  #closed = false;

  constructor(settings: DegradationSettings, count: number, file: URL = WORKER) {
    this.#settings = settings;
    this.#file = file;
    this.#places = Array.from({ length: count }, () => ({}));
  }

  get closed(): boolean {
    return this.#closed;
  }

  #start(place: Place): Worker {
    // Not with the program's own flags: some, such as --input-type, are refused here.
    const worker = new Worker(this.#file, { workerData: this.#settings, execArgv: [] });
    let failure: unknown;
    worker.on('message', (reply: WorkerReply) => {
      const { doing } = place;
      place.doing = undefined;
      // Idle threads do not keep the program alive.
      worker.unref();
      if ('error' in reply) doing?.reject(new Error(reply.error));
      else doing?.resolve(reply.result);
      this.#assign();
    });
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', (code) => {
      const { doing } = place;
      place.worker = undefined;
      place.doing = undefined;
      doing?.reject(
        this.#closed
          ? closedError()
          : new Error(`degradation: a thread ends when the pool is closed; one has ended with ${code}`, {
              cause: failure,
            }),
      );
      this.#assign();
    });
    place.worker = worker;
    return worker;
  }

  #assign(): void {
    if (this.#closed) return;
    for (const place of this.#places) {
      if (place.doing !== undefined) continue;
      const next = this.#queue.shift();
      if (next === undefined) return;
      place.doing = next;
      const worker = place.worker ?? this.#start(place);
      worker.ref();
      worker.postMessage(next.job, [next.job.image.data.buffer as ArrayBuffer]);
    }
  }

  /** The job's image is given away. */
  run(job: WorkerJob, signal?: AbortSignal): Promise<Result> {
    if (this.#closed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        const at = this.#queue.indexOf(waiting);
        if (at >= 0) this.#queue.splice(at, 1);
        // A thread that is at it finishes; nobody takes the result.
        reject(signal?.reason);
      };
      const settled = (): void => signal?.removeEventListener('abort', abort);
      const waiting: Waiting = {
        job,
        resolve: (result) => {
          settled();
          resolve(result);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#queue.push(waiting);
      this.#assign();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { reject } of this.#queue.splice(0)) reject(closedError());
    await Promise.all(this.#places.map(({ worker }) => worker?.terminate()));
  }
}
