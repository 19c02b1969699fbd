import { readFileSync } from 'node:fs';
import type { openChromiumPage } from '@rass/testkit/browser';

export type Page = Awaited<ReturnType<typeof openChromiumPage>>;

/** What lives in JavaScript's heaps after a garbage collection, in bytes, with the buffers of its arrays. */
export interface Heaps {
  readonly workerHeap: number;
  readonly pageHeap: number;
}

/** A worker whose heap can be looked into, and its page. */
export interface WorkerHeaps {
  heaps(): Promise<Heaps>;
}

interface HeapUsage {
  readonly usedSize: number;
  readonly backingStorageSize?: number;
}

const bytesOf = ({ usedSize, backingStorageSize = 0 }: HeapUsage): number => usedSize + backingStorageSize;

/** Speaks the DevTools protocol with the worker that the page starts next. Playwright has no session of a worker's own. */
export async function debugWorker(page: Page): Promise<WorkerHeaps> {
  const session = await page.context().newCDPSession(page);
  const waiting = new Map<number, (result: unknown) => void>();
  let [worker, next] = ['', 1];
  session.on('Target.attachedToTarget', ({ sessionId, targetInfo }) => {
    if (targetInfo.type === 'worker') worker = sessionId;
  });
  session.on('Target.receivedMessageFromTarget', ({ message }) => {
    const { id, result } = JSON.parse(message) as { id: number; result: unknown };
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  const ask = <T>(method: string): Promise<T> =>
    new Promise((resolve) => {
      const id = next++;
      waiting.set(id, resolve as (result: unknown) => void);
      void session.send('Target.sendMessageToTarget', { sessionId: worker, message: JSON.stringify({ id, method }) });
    });
  await session.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  return {
    async heaps() {
      await ask('HeapProfiler.collectGarbage');
      await session.send('HeapProfiler.collectGarbage');
      const [own, its] = [await session.send('Runtime.getHeapUsage'), await ask<HeapUsage>('Runtime.getHeapUsage')];
      return { workerHeap: bytesOf(its), pageHeap: bytesOf(own) };
    },
  };
}

/** The resident memory of a process in bytes, as Linux counts it. */
function residentBytes(pid: number): number {
  const [, kibi] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Number(kibi) * 1024;
}

/** The resident memory of the browser's GPU process, which on a software adapter holds what a GPU would, and of the page's with its workers. */
export async function processMemory(page: Page): Promise<{ gpuProcess: number; pageProcess: number }> {
  const session = await page.context().browser()!.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  await session.detach();
  const most = (type: string): number =>
    Math.max(0, ...processInfo.filter((each) => each.type === type).map(({ id }) => residentBytes(id)));
  return { gpuProcess: most('GPU'), pageProcess: most('renderer') };
}
