import { memory } from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

/** Asserts that `action` leaves as many tensors as there were before it; what it returns must be disposed of inside. */
export async function expectNoLeaks(action: () => unknown): Promise<void> {
  const before = memory().numTensors;
  await action();
  expect(memory().numTensors - before, 'tensors left behind').toBe(0);
}
