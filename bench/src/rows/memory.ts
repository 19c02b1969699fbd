import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closeBrowsers, openChromiumPage } from '@rass/testkit/browser';
import { buildRuntime, serveSite } from '../../../apps/runtime/src/site.test-support.ts';
import { debugWorker, type Heaps, type Page, processMemory, type WorkerHeaps } from './browser-memory.ts';

const PHOTOGRAPHS = ['cat', 'coffee', 'rocket'];
/** Widths and heights in turn, as users have them; no two photographs in a row have one size. */
const SIZES = [[64, 64], [64, 48], [48, 64], [96, 64], [40, 56], [60, 60], [64, 100]] as const; // biome-ignore format: a table
const EVERY = 10;

/** What was held after so many images, in bytes. */
export interface Sample extends Heaps {
  readonly images: number;
  readonly tensors: number;
  readonly gpuBytes: number;
  readonly gpuBytesAllocated: number;
  readonly gpuProcess: number;
  readonly pageProcess: number;
}

/** What is left once the runtime is disposed of. */
interface Left {
  readonly tensors: number;
  readonly gpuBytes: number;
  readonly gpuBytesAllocated: number;
  readonly workers: number;
}

/** A run from its first image to the end of its worker. */
export interface MemoryRun {
  readonly device: string;
  readonly samples: readonly Sample[];
  readonly left: Left;
  readonly seconds: number;
}

/** What the page runs: it opens the model, works on images one after the other, and tells what the closed worker had left. */
const SCRIPT = `(async () => {
  let ended;
  globalThis.Worker = class extends Worker {
    constructor(...of) {
      super(...of);
      this.addEventListener('message', ({ data }) => { if (data.kind === 'done') ended = data.output; });
    }
  };
  const { createRuntime } = await import('./runtime/rass-runtime.js');
  const runtime = await createRuntime({ model: './model/', device: 'webgpu' });
  const photographs = await Promise.all(${JSON.stringify(PHOTOGRAPHS)}.map(async (name) => createImageBitmap(await (await fetch('./' + name + '.jpg')).blob())));
  const crop = (i, [width, height]) => {
    const canvas = new OffscreenCanvas(width, height);
    const photograph = photographs[i % photographs.length];
    canvas.getContext('2d').drawImage(photograph, (37 * i) % (photograph.width - width), (53 * i) % (photograph.height - height), width, height, 0, 0, width, height);
    return canvas;
  };
  globalThis.bench = {
    device: runtime.device.description,
    async work(i, size) {
      const image = crop(i, size);
      const segmentation = await runtime.segment(image, { shortSide: 64 });
      const restored = await runtime.restore(image, { tags: segmentation.classes.slice(0, 2).map(({ name }) => name) });
      if (restored.width !== size[0] || segmentation.labels.length !== size[0] * size[1]) throw new Error('a result has another size');
    },
    memory: () => runtime.memory(),
    async dispose() {
      await runtime.dispose();
      return ended;
    },
  };
})()`;

type Held = Omit<Left, 'workers'>;

async function sampleNow(page: Page, worker: WorkerHeaps, images: number): Promise<Sample> {
  const { tensors, gpuBytes, gpuBytesAllocated } = (await page.evaluate('bench.memory()')) as Held;
  const heaps = await worker.heaps();
  return { images, tensors, gpuBytes, gpuBytesAllocated, ...heaps, ...(await processMemory(page)) };
}

/** A folder to be served: the runtime as it is built, the model, the photographs. */
async function writeSite(folder: string): Promise<void> {
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  await buildRuntime(folder);
  cpSync(join(root, 'models', 'rass-tiny'), join(folder, 'model'), { recursive: true });
  for (const name of PHOTOGRAPHS)
    cpSync(join(root, 'test-fixtures', 'images', `${name}.jpg`), join(folder, `${name}.jpg`));
}

async function workThrough(page: Page, count: number, onSample: (sample: Sample) => void): Promise<MemoryRun> {
  const worker = await debugWorker(page);
  await page.evaluate(SCRIPT);
  const samples: Sample[] = [];
  const start = performance.now();
  for (let i = 1; i <= count; i++) {
    await page.evaluate(`bench.work(${i}, ${JSON.stringify(SIZES[i % SIZES.length])})`);
    if (i % EVERY > 0) continue;
    const sample = await sampleNow(page, worker, i);
    samples.push(sample);
    onSample(sample);
  }
  const seconds = (performance.now() - start) / 1000;
  const device = (await page.evaluate('bench.device')) as string;
  const { tensors, gpuBytes, gpuBytesAllocated } = (await page.evaluate('bench.dispose()')) as Held;
  // A worker ends a moment after it is told to.
  await page.waitForTimeout(500);
  const left = { tensors, gpuBytes, gpuBytesAllocated, workers: page.workers().length };
  return { device, samples, left, seconds };
}

/** Segments and restores so many images in a row with rass-tiny in Chromium on WebGPU, and says what is held after every tenth. */
export async function memoryRun(count: number, onSample: (sample: Sample) => void): Promise<MemoryRun> {
  if (!(count >= 3 * EVERY)) throw new Error(`bench: memory is of at least ${3 * EVERY} images; got ${count}`);
  const folder = mkdtempSync(join(tmpdir(), 'rass-bench-memory-'));
  try {
    await writeSite(folder);
    const site = await serveSite(folder);
    try {
      const page = await openChromiumPage();
      await page.goto(site.url);
      return await workThrough(page, count, onSample);
    } finally {
      site.close();
    }
  } finally {
    await closeBrowsers();
    rmSync(folder, { recursive: true, force: true });
  }
}

const COLUMNS = [
  ['GPU, tensors', 'gpuBytes'],
  ['GPU, allocated', 'gpuBytesAllocated'],
  ["worker's heap", 'workerHeap'],
  ["page's heap", 'pageHeap'],
  ['GPU process', 'gpuProcess'],
  ["page's process", 'pageProcess'],
] as const;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 10e6 ? 2 : 1);

/** The medians of each third of a run, and what is left after it, as a Markdown table in MB. */
export function memoryTable({ samples, left }: MemoryRun): string {
  const third = Math.floor(samples.length / 3);
  const parts = [samples.slice(0, third), samples.slice(third, -third), samples.slice(-third)];
  const lines = parts.map((part) => [
    `images ${part[0]!.images - EVERY + 1} to ${part.at(-1)!.images}`,
    `${median(part.map(({ tensors }) => tensors))}`,
    ...COLUMNS.map(([, key]) => megabytes(median(part.map((each) => each[key])))),
  ]);
  const [first, last] = [parts[0]!, parts[2]!];
  const change = COLUMNS.map(([, key]) => {
    const [before, after] = [first, last].map((part) => median(part.map((each) => each[key]))) as [number, number];
    return `${after < before ? '' : '+'}${((after / before - 1) * 100).toFixed(1)} %`;
  });
  const tensors = median(last.map((each) => each.tensors)) - median(first.map((each) => each.tensors));
  const ended = left.workers === 0 ? 'ended' : 'runs';
  const head = ['MB, medians', 'tensors', ...COLUMNS.map(([title]) => title)];
  const rows = [
    head,
    ['---', ...head.slice(1).map(() => '---:')],
    ...lines,
    ['last third against first', `${tensors < 0 ? '' : '+'}${tensors}`, ...change],
    [
      'after dispose',
      `${left.tensors}`,
      megabytes(left.gpuBytes),
      megabytes(left.gpuBytesAllocated),
      ended,
      '',
      '',
      '',
    ],
  ];
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
}
