import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/** What a worker is asked and what it answers. */
export interface WorkerRequest<Job> {
  readonly id: number;
  readonly job: Job;
}
export type WorkerReply<Result> =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly error: string };

/** Threads that do jobs, each one at a time. */
export interface WorkerPool<Job, Result> {
  readonly size: number;
  /** @throws what the job has thrown, and when its thread has ended */
  run(job: Job): Promise<Result>;
  close(): Promise<void>;
}

interface Waiting<Job, Result> {
  readonly job: Job;
  resolve(result: Result): void;
  reject(error: Error): void;
}

/** This file's neighbour: TypeScript in the repository, JavaScript in the package. */
export const neighbour = (name: string, of: string): URL =>
  new URL(`./${name}${of.endsWith('.ts') ? '.ts' : '.js'}`, of);

class Threads<Job, Result> implements WorkerPool<Job, Result> {
  readonly #idle: Worker[] = [];
  readonly #all: Worker[];
  readonly #queue: Waiting<Job, Result>[] = [];
  readonly #busy = new Map<Worker, Waiting<Job, Result>>();
  #next = 0;
  #ended: Error | undefined;

  constructor(file: URL, size: number, workerData: unknown) {
    this.#all = Array.from({ length: size }, () => this.#start(file, workerData));
    this.#idle.push(...this.#all);
  }

  get size(): number {
    return this.#all.length;
  }

  #start(file: URL, workerData: unknown): Worker {
    const worker = new Worker(file, { workerData });
    worker.on('message', (reply: WorkerReply<Result>) => this.#take(worker, reply));
    worker.on('error', (error) => this.#end(error as Error));
    worker.on('exit', () =>
      this.#end(new Error('workers: a thread works until it is closed; one has ended; start again')),
    );
    worker.unref();
    return worker;
  }

  #take(worker: Worker, reply: WorkerReply<Result>): void {
    const waiting = this.#busy.get(worker);
    this.#busy.delete(worker);
    this.#idle.push(worker);
    if ('error' in reply) waiting?.reject(new Error(reply.error));
    else waiting?.resolve(reply.result);
    this.#assign();
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const waiting of [...this.#busy.values(), ...this.#queue.splice(0)]) waiting.reject(this.#ended);
    this.#busy.clear();
  }

  #assign(): void {
    while (this.#idle.length > 0 && this.#queue.length > 0) {
      const worker = this.#idle.shift()!;
      const waiting = this.#queue.shift()!;
      this.#busy.set(worker, waiting);
      // A job under way keeps the process alive; idle threads do not.
      worker.ref();
      worker.postMessage({ id: this.#next++, job: waiting.job } satisfies WorkerRequest<Job>);
    }
    for (const worker of this.#idle) worker.unref();
  }

  run(job: Job): Promise<Result> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#queue.push({ job, resolve, reject });
      this.#assign();
    });
  }

  async close(): Promise<void> {
    this.#ended ??= new Error('workers: a job begins before they are closed; they are; open them again');
    await Promise.all(this.#all.map((worker) => worker.terminate()));
  }
}

/** Starts threads of a file, each of which answers a WorkerRequest with a WorkerReply. */
export function openWorkers<Job, Result>(
  file: URL,
  { size = availableParallelism(), workerData }: { readonly size?: number; readonly workerData?: unknown } = {},
): WorkerPool<Job, Result> {
  return new Threads(file, size, workerData);
}
