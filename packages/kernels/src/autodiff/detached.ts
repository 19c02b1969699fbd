import { tidy } from '@tensorflow/tfjs-core';
import { autodiffEngine } from './engine.ts';

/** Runs `run` without recording it: what it makes is a constant to every gradient, as after PyTorch's `detach()`. */
export function detached<T>(run: () => T): T {
  const { state } = autodiffEngine();
  // As inside a kernel, whose own operations are not recorded either.
  state.kernelDepth++;
  try {
    return tidy(run as () => never) as T;
  } finally {
    state.kernelDepth--;
  }
}
