import { describeOnBackends, expectClose, randomValues } from '@rass/testkit';
import { add, backend, type Tensor, tensor } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { alignedFloats } from '../../aligned-arrays.ts';

const MEGABYTE = 2 ** 20;

describeOnBackends('tensors from JavaScript', () => {
  it('do not keep the arrays that they are made of', () => {
    const before = process.memoryUsage().arrayBuffers;
    const made: Tensor[] = [];
    for (let i = 0; i < 40; i++) made.push(tensor(new Float32Array(2 * MEGABYTE), [2, MEGABYTE]));
    const held = process.memoryUsage().arrayBuffers - before;
    for (const each of made) each.dispose();
    expect(held / MEGABYTE).toBeLessThan(40 * 8 * 0.6);
  });

  it('share the memory of large aligned arrays, so that weights are not copied', async () => {
    const values = alignedFloats(MEGABYTE);
    const x = tensor(values);
    values[7] = 3;
    expect((await x.data())[7]).toBe(3);
    x.dispose();
  });

  it.each([4095, 4096, 4097])('hold what they were made of, %d values', async (count) => {
    const values = randomValues(count);
    const x = tensor(values, [1, count]);
    await expectClose(x, values, { relative: 0 });
    await expectClose(add(x, 0), values, { relative: 0 });
    expect(x.shape).toEqual([1, count]);
    x.dispose();
  });

  it('are gone when disposed of', () => {
    const { binding } = backend() as unknown as { binding: { getNumOfTensors: () => number } };
    const before = binding.getNumOfTensors();
    const x = tensor(new Float32Array(10_000));
    expect(binding.getNumOfTensors()).toBe(before + 1);
    x.dispose();
    expect(binding.getNumOfTensors()).toBe(before);
  });
}, ['native']);
