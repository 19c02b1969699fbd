import {
  backend,
  getBackend,
  getKernelsForBackend,
  Identity,
  type KernelConfig,
  memory,
  registerKernel,
  unregisterKernel,
} from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

/** Makes the current backend tell each call of a kernel and each reading of values; what it returns undoes that. */
function watchBackend(onCall: (name: string) => void): () => void {
  const own = backend();
  const { read } = own;
  const stock = getKernelsForBackend(getBackend());
  const register = (kernels: readonly KernelConfig[]): void => {
    for (const kernel of kernels) {
      unregisterKernel(kernel.kernelName, kernel.backendName);
      registerKernel(kernel);
    }
  };
  let cloning = false;
  const watched = (kernel: KernelConfig): KernelConfig => ({
    ...kernel,
    kernelFunc(parameters) {
      if (!cloning) onCall(kernel.kernelName);
      return kernel.kernelFunc(parameters);
    },
  });
  // A clone makes nothing, so that the engine does not reckon with its failing; on WebAssembly it is a reshape inside.
  const unwatched = (kernel: KernelConfig): KernelConfig => ({
    ...kernel,
    kernelFunc(parameters) {
      cloning = true;
      try {
        return kernel.kernelFunc(parameters);
      } finally {
        cloning = false;
      }
    },
  });
  register(stock.map((kernel) => (kernel.kernelName === Identity ? unwatched(kernel) : watched(kernel))));
  own.read = (dataId) => {
    onCall('read');
    return read.call(own, dataId);
  };
  return () => {
    register(stock);
    own.read = read;
  };
}

export interface FaultOptions {
  /** How many of the calls fail, one at a time, evenly chosen; default all. */
  readonly places?: number;
}

/** Asserts that an action throws, and leaves as many tensors as there were, wherever a kernel fails or values cannot be read: as where
 * memory runs out, or the device is lost. It runs twice without a fault first, and must always do the same; what it returns must be
 * disposed of inside. */
export async function expectNoLeaksOnFaults(action: () => unknown, { places }: FaultOptions = {}): Promise<void> {
  const at = { call: 0, faulty: 0 };
  const restore = watchBackend((name) => {
    at.call += 1;
    if (at.call === at.faulty) throw new Error(`testkit: call ${at.call}, of ${name}, fails`);
  });
  const run = async (faulty: number): Promise<void> => {
    Object.assign(at, { call: 0, faulty });
    await action();
  };
  try {
    // The first may keep what later ones use.
    await run(0);
    await run(0);
    const calls = at.call;
    const count = Math.min(calls, places ?? calls);
    for (let i = 0; i < count; i++) {
      // The last is among them: what was made on the way is there by then.
      const faulty = Math.ceil(((i + 1) * calls) / count);
      const before = memory().numTensors;
      const error = await run(faulty).then(
        () => `no fault in call ${faulty}`,
        ({ message }) => `${message}`,
      );
      expect(error).toMatch(`testkit: call ${faulty}, of `);
      expect(memory().numTensors - before, `tensors left behind: ${error}`).toBe(0);
    }
  } finally {
    restore();
  }
}
