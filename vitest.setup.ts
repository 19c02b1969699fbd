import * as kernels from '@rass/kernels';
import { provideBackends } from '@rass/testkit';
import { setBackend } from '@tensorflow/tfjs-core';
import { inject } from 'vitest';

// Until the backends land: cpu and wasm through TensorFlow.js itself.
async function activate(name: string): Promise<void> {
  const all = kernels as unknown as Record<string, ((name: string) => unknown) | undefined>;
  if (all.selectBackend) return void (await all.selectBackend(name));
  all.installGradients?.('');
  await import('./packages/kernels/node_modules/@tensorflow/tfjs-backend-cpu/dist/tf-backend-cpu.node.js' as string);
  await setBackend(name);
}

provideBackends({ available: inject('backends'), activate });
