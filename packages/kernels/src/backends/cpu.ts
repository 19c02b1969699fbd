import { findBackend } from '@tensorflow/tfjs-core';
import { loadPeer } from './packages.ts';
import type { BackendInfo } from './types.ts';

/** Loads TensorFlow.js's plain JavaScript backend, which registers itself. @throws BackendError not-installed */
export async function describeCpu(): Promise<BackendInfo> {
  const name = '@tensorflow/tfjs-backend-cpu';
  const { version_cpu } = await loadPeer('cpu', name, () => import('@tensorflow/tfjs-backend-cpu'));
  // It would print an advertisement for another package at its first op.
  const backend = findBackend('cpu') as unknown as { firstUse: boolean };
  backend.firstUse = false;
  return {
    name: 'cpu',
    engineName: 'cpu',
    description: `TensorFlow.js ${version_cpu} in plain JavaScript`,
    device: 'cpu',
    version: version_cpu,
    capabilities: { threads: 1 },
  };
}
