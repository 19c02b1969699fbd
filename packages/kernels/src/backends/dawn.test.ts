import { describe, expect, inject, it } from 'vitest';
import { createDawn } from './dawn.ts';
import { selectBackend } from './select.ts';

const present = () => (globalThis.navigator as { gpu?: GPU }).gpu;

describe.skipIf(!inject('backends').includes('webgpu'))('createDawn', () => {
  it('gives Node the same GPU again, and another one for other toggles', async () => {
    const first = await createDawn();
    expect(present()).toBe(first);
    expect(typeof GPUBufferUsage.STORAGE).toBe('number');
    expect(await createDawn()).toBe(first);
    const vulkan = await createDawn(['backend=vulkan']);
    expect(vulkan).not.toBe(first);
    expect((await selectBackend('webgpu', { webgpu: { dawn: ['backend=vulkan'] } })).name).toBe('webgpu');
    expect(present()).toBe(vulkan);
  });

  it('leaves a GPU of other code alone', async () => {
    const foreign = {} as GPU;
    Object.defineProperty(globalThis.navigator, 'gpu', { value: foreign, configurable: true });
    expect(await createDawn(['backend=null'])).toBe(foreign);
  });
});
