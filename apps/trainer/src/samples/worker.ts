import { parentPort, workerData } from 'node:worker_threads';
import { type MakerSettings, openMaker, type SampleJob } from './maker.ts';
import type { WorkerReply, WorkerRequest } from './pool.ts';
import type { Sample } from './sample.ts';

// A thread that makes samples: opened with MakerSettings, asked for one SampleJob after the other.
const port = parentPort;
if (port === null) throw new Error('samples: the worker runs in a thread; got the main one; open it by openFeed');
const maker = openMaker(workerData as MakerSettings);
// The first job is answered with what is wrong with it.
maker.catch(() => {});

const buffersOf = ({ clean, degraded, labels }: Sample): ArrayBuffer[] =>
  [...new Set([clean.data.buffer, degraded.data.buffer, labels?.data.buffer])].filter(
    (each): each is ArrayBuffer => each instanceof ArrayBuffer,
  );

port.on('message', async ({ id, job }: WorkerRequest<SampleJob>) => {
  try {
    const sample = await (await maker).make(job);
    port.postMessage({ id, result: sample } satisfies WorkerReply<Sample>, buffersOf(sample));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    port.postMessage({ id, error: message } satisfies WorkerReply<Sample>);
  }
});
