// Our side of the bench: a process that answers lines of JSON on its standard input (see contestant.ts).
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type BackendName, selectBackend } from '@rass/kernels';
import { engine, memory, type Tensor } from '@tensorflow/tfjs-core';
import { modelRows } from './rows/models.ts';
import type { OpRow } from './rows/op-list.ts';
import { opRow } from './rows/ops.ts';
import { trainingRows } from './rows/training.ts';

/** Sets a row up and returns what is timed; it hands back the tensors that it made, which are read and disposed of. */
export type Row = () => Promise<Timed> | Timed;
type Timed = () => Tensor[] | Promise<Tensor[]>;

/** The high-water mark of this process's memory. */
function peakBytes(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

async function once(run: Timed): Promise<number> {
  const start = performance.now();
  const made = await run();
  // A backend may work ahead of the calls; a value that has been read is there.
  const smallest = made.reduce((a, b) => (b.size < a.size ? b : a));
  await smallest.data();
  const seconds = (performance.now() - start) / 1000;
  for (const tensor of made) tensor.dispose();
  return seconds;
}

const { RASS_BENCH_BACKEND = 'native', RASS_BENCH_FUSED } = process.env;
const fused = RASS_BENCH_FUSED !== 'false';
const { description } = await selectBackend(RASS_BENCH_BACKEND as BackendName, { webgpu: { fused } });
const versions = { ours: description, node: process.version };
let run: Timed | undefined;
engine().startScope();

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line) as { prepare?: string | OpRow; run?: number };
  if (question.prepare !== undefined) {
    const { prepare } = question;
    // Ends what the row before holds; a model's parameters are kept, and have a process of their own.
    engine().endScope();
    engine().startScope();
    run = await (typeof prepare === 'string' ? { ...modelRows, ...trainingRows }[prepare] : opRow(prepare))();
    console.log(JSON.stringify({ versions }));
    continue;
  }
  const seconds: number[] = [];
  for (let i = 0; i < (question.run ?? 0); i++) seconds.push(await once(run!));
  const { numBytesInGPU: deviceBytes = 0 } = memory() as { numBytesInGPU?: number };
  console.log(JSON.stringify({ seconds, peakBytes: peakBytes(), deviceBytes }));
}
