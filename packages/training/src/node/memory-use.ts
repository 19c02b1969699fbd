import { memory } from '@tensorflow/tfjs-core';
import type { MemoryUse } from '../progress/progress-line.ts';

/** What this process and its tensors hold now, for progressLine. */
export function memoryUse(): MemoryUse {
  const { numTensors, numBytes } = memory();
  return { process: process.memoryUsage.rss(), tensors: numTensors, tensorBytes: numBytes };
}
