// A program: two worker threads load the native backend one after the other and end, then the main thread does; it prints
// what each computed. The addon may not be unloaded in between, for TensorFlow keeps pointers into it.
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { tensor1d } from '@tensorflow/tfjs-core';
import { selectBackend } from '../backends/select.ts';
import { silu } from '../ops/activations.ts';

async function compute(): Promise<number[]> {
  await selectBackend('native');
  return Array.from(await silu(tensor1d([0, 20])).data());
}

function computeInWorker(): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url));
    let result: unknown;
    worker.on('message', (message) => {
      result = message;
    });
    worker.on('error', reject);
    worker.on('exit', () => resolve(result));
  });
}

if (isMainThread) {
  const fromWorkers = [await computeInWorker(), await computeInWorker()];
  console.log(JSON.stringify([...fromWorkers, await compute()]));
} else {
  parentPort?.postMessage(await compute());
}
