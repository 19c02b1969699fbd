import { parentPort, workerData } from 'node:worker_threads';
import { degrade } from '../degrade.ts';
import type { DegradationSettings } from '../settings/settings.ts';
import type { WorkerJob, WorkerReply } from './worker-message.ts';

// A thread that degrades one image after the other by the settings that it was started with.
if (parentPort === null) throw new Error('degradation: the worker runs in a thread; got the main one; open a pool');
const port = parentPort;
const settings = Object.freeze(workerData as DegradationSettings);

port.on('message', ({ image, seed }: WorkerJob) => {
  try {
    const result = degrade(image, settings, { seed });
    port.postMessage({ result } satisfies WorkerReply, [result.image.data.buffer]);
  } catch (error) {
    port.postMessage({ error: error instanceof Error ? error.message : String(error) } satisfies WorkerReply);
  }
});
