import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { OpRow } from './rows/op-list.ts';

/** What a contestant answers to a turn. */
export interface Turn {
  /** One per run asked for. */
  seconds: number[];
  /** The most memory that its process has held so far. */
  peakBytes: number;
  /** What its tensors take of a GPU's memory now. */
  deviceBytes?: number;
}

/** A process that has set up one or more rows and runs them when told to: one JSON object a line, both ways. */
export class Contestant {
  readonly name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting: { resolve: (answer: never) => void; reject: (error: Error) => void }[] = [];
  #ended: Error | undefined;

  constructor(name: string, program: string, args: readonly string[], environment: NodeJS.ProcessEnv) {
    this.name = name;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...environment } });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      // Libraries may print, too.
      if (line.startsWith('{')) this.#waiting.shift()?.resolve(JSON.parse(line) as never);
    });
    this.#child.on('error', (error) => this.#end(error));
    this.#child.on('exit', (code, signal) => this.#end(new Error(`${name}: ended with ${code ?? signal}`)));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended);
  }

  #ask<T>(question: object): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    });
  }

  /** Sets up a row, in place of the one before. */
  prepare(row: string | OpRow): Promise<{ versions: Record<string, string> }> {
    return this.#ask({ prepare: row });
  }

  run(times: number): Promise<Turn> {
    return this.#ask({ run: times });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#ended !== undefined) return resolve();
      this.#child.on('exit', () => resolve());
      this.#child.stdin.end();
    });
  }
}
