import { engine } from '@tensorflow/tfjs-core';

/** Gives back the memory that the current backend keeps for later tensors: on WebGPU the free buffers of its pool.
 * The others keep none. Returns the bytes given back. */
export function trimBackendMemory(): number {
  const backend = engine().backend as unknown as { trim?: () => number };
  return backend.trim?.() ?? 0;
}
