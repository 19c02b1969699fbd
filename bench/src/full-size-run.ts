// A process that opens a model of full size on WebGPU, restores a picture and segments it: full-size-run.ts <model>.
import { readFileSync } from 'node:fs';
import { selectBackend } from '@rass/kernels';
import { openPipeline } from '@rass/pipeline/node';
import { memory } from '@tensorflow/tfjs-core';

const SIZE = 64;
const [, , model = ''] = process.argv;

const timed = async <T>(run: () => Promise<T>): Promise<[T, number]> => {
  const start = performance.now();
  return [await run(), (performance.now() - start) / 1000];
};

const { description } = await selectBackend('webgpu');
const image = {
  width: SIZE,
  height: SIZE,
  data: Uint8Array.from({ length: 3 * SIZE * SIZE }, (_, i) => (i * 37) % 256),
};
const [pipeline, load] = await timed(() => openPipeline(model, { restore: true, segment: true }));
const [restored, restore] = await timed(() => pipeline.restore(image));
const [, segment] = await timed(() => pipeline.segment(image, { shortSide: SIZE }));
const { numBytesInGPU } = memory() as unknown as { numBytesInGPU: number };
const peakKilobytes = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
const levels = new Set(restored.data).size;
console.log(
  JSON.stringify({ description, load, restore, segment, gpuBytes: numBytesInGPU, peakBytes: 1024 * peakKilobytes, levels }), // biome-ignore format: one line
);
