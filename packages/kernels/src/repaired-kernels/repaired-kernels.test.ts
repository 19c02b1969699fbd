import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import {
  clone,
  conv2d,
  depthwiseConv2d,
  einsum,
  engine,
  gather,
  getKernel,
  memory,
  type Tensor4D,
  tensor,
  tensorScatterUpdate,
  tidy,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { registerRepairedKernels, repairedKernels } from './all.ts';
import { kernelCases } from './cases.test-support.ts';
import { image, ones } from './convolutions.test-support.ts';
import { floats } from './products.test-support.ts';

/** Cases whose point is not the values. */
const coveredBelow = ['TensorScatterUpdate', 'Identity'];

describe('repaired kernels', () => {
  it('have a case each', () => {
    const covered = new Set([...kernelCases.map(({ covers }) => covers), ...coveredBelow]);
    expect(repairedKernels.filter(({ kernel }) => !covered.has(kernel))).toEqual([]);
  });
});

describeOnBackends('repaired kernels', (backend) => {
  it.each(kernelCases.map((kernelCase) => [`${kernelCase.covers}: ${kernelCase.name}`, kernelCase] as const))(
    '%s',
    async (_, { run, expected }) => {
      await expectNoLeaks(async () => {
        const result = tidy(run);
        await expectClose(result, expected, { relative: 1e-5 });
        result.dispose();
      });
    },
  );

  it('TensorScatterUpdate leaves its input as it is', async () => {
    const target = floats([3, 2]);
    const before = await target.data();
    const result = tidy(() => tensorScatterUpdate(target, tensor([1], [1, 1], 'int32'), tensor([7, 8], [1, 2])));
    await expectClose(result, [before[0], before[1], 7, 8, before[4], before[5]]);
    await expectClose(target, Float32Array.from(before));
    for (const t of [target, result]) t.dispose();
  });

  it('Identity shares the data', async () => {
    const x = floats([4]);
    const buffers = memory().numDataBuffers;
    const same = clone(x);
    expect(memory().numDataBuffers).toBe(buffers);
    await expectClose(same, x);
    x.dispose();
    expect(memory().numDataBuffers).toBe(buffers);
    same.dispose();
    expect(memory().numDataBuffers).toBe(buffers - 1);
  });

  it('Einsum refuses what it cannot do', () => {
    if (backend === 'native') return;
    const x = floats([2, 2]);
    expect(() => einsum('ii->i', x)).toThrow('a label may occur once in a term; got "ii->i" for 1 tensor(s)');
    expect(() => einsum('...i->i', x)).toThrow('einsum: an ellipsis is not supported; got "...i->i" for 1 tensor(s)');
    expect(() => einsum('ij,jk', x, x)).toThrow('einsum: the equation must have exactly one "->"');
    expect(() => einsum('ij,jk->il', x, x)).toThrow('einsum: label l of the result must be in a term');
    expect(() => einsum('ijk->i', x)).toThrow('einsum: term 0 must have one label for each axis of [2,2]');
    expect(() => einsum('ij->i', x, x)).toThrow('einsum: each tensor must have its term');
    expect(() => einsum('ij,jk->ik', x, tensor([1, 2, 3], [3, 1]))).toThrow(
      'einsum: axis j must have one length; got 2 and 3',
    );
    x.dispose();
  });

  it('convolutions take padding by one number with a window that is not square', async () => {
    // Native TensorFlow takes it by name alone.
    if (backend === 'native') return;
    const y = tidy(() => conv2d(image(2, 3), ones([1, 2, 1, 1]), 1, 1));
    await expectClose(y, tensor([0, 0, 0, 0, 0, 1, 3, 2, 3, 7, 9, 5, 0, 0, 0, 0], [1, 4, 4, 1]));
    y.dispose();
  });

  it('convolutions refuse a window that is larger than the image', () => {
    if (backend === 'native') return;
    const [x, filter] = [floats([1, 3, 3, 1]), floats([2, 2, 1, 1])];
    const message = 'convolution: the window fits into the padded image; got a window of 4 x 4 for x [1,3,3,1]';
    expect(() => tidy(() => conv2d(x as Tensor4D, filter as Tensor4D, 1, 'valid', 'NHWC', 3))).toThrow(message);
    expect(() => tidy(() => depthwiseConv2d(x as Tensor4D, filter as Tensor4D, 1, 'valid', 'NHWC', 3))).toThrow(
      message,
    );
    for (const t of [x, filter]) t.dispose();
  });

  it('GatherV2 refuses indices that are out of range', async () => {
    const x = floats([3, 2]);
    for (const wrong of [3, -1]) {
      const message =
        backend === 'webgpu'
          ? `gather: indices along axis 0 of [3,2] are from 0 to 2; got ${wrong}; check the indices`
          : /index|indices/;
      expect(() => tidy(() => gather(x, tensor([0, wrong], [2], 'int32')))).toThrow(message);
    }
    expect(() => tidy(() => gather(x, tensor([2], [1], 'int32'), 1))).toThrow();
    const picked = tidy(() => gather(x, tensor([2, 0], [2], 'int32')));
    const values = await x.data();
    await expectClose(picked, [values[4], values[5], values[0], values[1]]);
    picked.dispose();
    x.dispose();
  });

  it('are registered once', () => {
    const name = engine().backendName;
    const kernels = repairedKernels.map(({ kernel }) => getKernel(kernel, name));
    registerRepairedKernels();
    expect(repairedKernels.map(({ kernel }) => getKernel(kernel, name))).toEqual(kernels);
  });
});
