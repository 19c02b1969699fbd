import { backend } from '@tensorflow/tfjs-core';
import { vi } from 'vitest';
import type { PackingWebGPUBackend } from '../packed/packing-backend.ts';

export const webgpu = (): PackingWebGPUBackend => backend() as PackingWebGPUBackend;

/** The names of the programs that run. */
export function programsOf(run: () => void): string[] {
  const spy = vi.spyOn(webgpu(), 'runWebGPUProgram');
  try {
    run();
    return spy.mock.calls.map(([program]) => program.shaderKey);
  } finally {
    spy.mockRestore();
  }
}
