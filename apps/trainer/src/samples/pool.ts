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

/** How threads are opened. */
export interface WorkerOptions<Job> {
  /** How many; default: as many as there are cores. */
  readonly size?: number;
  readonly workerData?: unknown;
  /** What errors call a job. */
  readonly nameOf?: (job: Job) => string;
}

class Threads<Job, Result> implements WorkerPool<Job, Result> {
  readonly #idle: Worker[] = [];
  readonly #all: Worker[];
  readonly #queue: Waiting<Job, Result>[] = [];
  readonly #busy = new Map<Worker, Waiting<Job, Result>>();
  #next = 0;
  #ended: Error | undefined;
  readonly #nameOf: (job: Job) => string;

  constructor(file: URL, { size = availableParallelism(), workerData, nameOf = () => 'a job' }: WorkerOptions<Job>) {
    this.#nameOf = nameOf;
    this.#all = Array.from({ length: size }, () => this.#start(file, workerData));
    this.#idle.push(...this.#all);
  }

  get size(): number {
    return this.#all.length;
  }

  #start(file: URL, workerData: unknown): Worker {
    const worker = new Worker(file, { workerData });
    worker.on('message', (reply: WorkerReply<Result>) => this.#take(worker, reply));
    const reason = (what: string): string => {
      const waiting = this.#busy.get(worker);
      const at = waiting === undefined ? '' : ` at ${this.#nameOf(waiting.job)}`;
      return `workers: a thread works until it is closed; one has ended with ${what}${at}; start again`;
    };
    worker.on('error', (error) => this.#end(new Error(reason((error as Error).message), { cause: error })));
    worker.on('exit', (code) => this.#end(new Error(reason(`status ${code}`))));
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
    // A thread that is told to end keeps the process alive until it has.
    if (this.#ended !== undefined) return;
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
    const result = new Promise<Result>((resolve, reject) => {
      this.#queue.push({ job, resolve, reject });
      this.#assign();
    });
    // A job that nobody waits for any more may fail as the threads are closed.
    result.catch(() => {});
    return result;
  }

  async close(): Promise<void> {
    this.#end(new Error('workers: a job begins before they are closed; they are; open them again'));
    await Promise.all(this.#all.map((worker) => worker.terminate()));
  }
}

/** Starts threads of a file, each of which answers a WorkerRequest with a WorkerReply. */
export function openWorkers<Job, Result>(file: URL, options: WorkerOptions<Job> = {}): WorkerPool<Job, Result> {
  return new Threads(file, options);
}
