import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { DatasetClass } from '@rass/datasets';
import { groupedVariables } from '@rass/training';
import type { Recipe } from '../../recipe/recipes.ts';
import { neighbour } from '../../samples/pool.ts';
import type { Sample } from '../../samples/sample.ts';
import type { BatchResult, TrainingTask } from '../task.ts';
import { type HelperJob, type HelperReply, type HelperStart, packed, unpacked } from './messages.ts';

/** Processes that run batches of a task beside this one. */
export interface Helpers {
  /** The results of all batches of an update, in their order; the first batch, and each after as many as there are processes, is run here. */
  run(parts: readonly (readonly Sample[])[], step: number): Promise<readonly BatchResult[]>;
  close(): void;
}

export interface HelperOptions {
  readonly task: TrainingTask;
  readonly recipe: Recipe;
  readonly classes: readonly DatasetClass[];
  readonly backend: string;
  /** This one included. */
  readonly processes: number;
}

/** What TensorFlow reads as it starts: each process has its share of the cores, since many small operations gain little from threads. */
export function threadSettings(processes: number): Record<string, string> {
  const threads = String(Math.max(1, Math.floor(availableParallelism() / processes)));
  return { TF_NUM_INTRAOP_THREADS: threads, TF_NUM_INTEROP_THREADS: '1' };
}

/** @throws when the processes cannot share the work */
export function checkProcesses(processes: number, recipe: Recipe): void {
  if (processes > recipe.accumulate) {
    throw new Error(
      `--processes: at most one process for each batch of an update, and the recipe has accumulate ${recipe.accumulate}; got ${processes}; ` +
        `set accumulate=${processes} with a smaller batch, or take fewer processes`,
    );
  }
  if (processes > 1 && recipe.kind === 'scr' && recipe.loss.kind === 'vsd') {
    throw new Error(
      `--processes: a student of VSD learns in one process, batch after batch; got ${processes}; train it with one, or with loss.kind=csd`,
    );
  }
}

/** One process, asked for one thing at a time. */
class Helper {
  readonly #child: ChildProcess;
  #waiting: { resolve(reply: HelperReply): void; reject(error: Error): void } | undefined;
  #ended: Error | undefined;

  constructor(processes: number) {
    this.#child = fork(fileURLToPath(neighbour('helper', import.meta.url)), [], {
      serialization: 'advanced',
      env: { ...process.env, ...threadSettings(processes) },
    });
    this.#child.on('message', (reply: HelperReply) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (reply.kind === 'error') waiting?.reject(new Error(reply.message));
      else waiting?.resolve(reply);
    });
    this.#child.on('error', (error) => this.#end(error));
    this.#child.on('exit', (code, signal) =>
      this.#end(
        new Error(
          `training: a helper process works until the run ends; one ended with ${signal ?? `status ${code}`}; the same command goes on from the last checkpoint`,
        ),
      ),
    );
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#waiting?.reject(this.#ended);
  }

  /** @returns once the message is written, what will be answered: computing here would keep it from being written */
  async ask(message: HelperStart | HelperJob): Promise<{ readonly answer: Promise<HelperReply> }> {
    if (this.#ended !== undefined) throw this.#ended;
    const answer = new Promise<HelperReply>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    // It is awaited after this process has done its own part.
    answer.catch(() => {});
    await new Promise<void>((resolve, reject) => {
      this.#child.send(message, (error) => (error === null ? resolve() : reject(this.#ended ?? error)));
    });
    return { answer };
  }

  close(): void {
    this.#ended ??= new Error('training: a helper works until it is closed; it is');
    this.#child.kill('SIGKILL');
  }
}

/** Starts processes that share a task's batches with this one. Gradients are added in the order of the batches, so that a
 * run is the same with any number of processes as far as the backend's operations are with any number of threads.
 * @throws when one does not start */
export async function openHelpers({ task, recipe, classes, backend, processes }: HelperOptions): Promise<Helpers> {
  checkProcesses(processes, recipe);
  const helpers = Array.from({ length: processes - 1 }, () => new Helper(processes));
  const close = () => {
    for (const helper of helpers) helper.close();
  };
  try {
    const started = await Promise.all(helpers.map((each) => each.ask({ kind: 'start', recipe, classes, backend })));
    await Promise.all(started.map(({ answer }) => answer));
  } catch (error) {
    close();
    throw error;
  }
  const variables = groupedVariables(task.groups);
  return {
    close,
    async run(parts, step) {
      const shares: { part: number; samples: readonly Sample[] }[][] = Array.from({ length: processes }, () => []);
      for (const [part, samples] of parts.entries()) shares[part % processes]!.push({ part, samples });
      const [own, ...others] = shares;
      const weights = others.length > 0 ? await packed(variables, variables) : new Float32Array();
      const facts = task.factsOf?.(parts);
      const asked = await Promise.all(
        others.map((batches, i) => helpers[i]!.ask({ kind: 'run', step, batches, facts, weights })),
      );
      const results: BatchResult[] = [];
      for (const { part, samples } of own!) results[part] = await task.run(samples, { step, part }, facts);
      for (const { answer } of asked) {
        const reply = await answer;
        if (reply.kind !== 'done') continue;
        for (const { part, terms, gradients } of reply.results)
          results[part] = { terms, gradients: unpacked(gradients, variables) };
      }
      return results;
    },
  };
}
