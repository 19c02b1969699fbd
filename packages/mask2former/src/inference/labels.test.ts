import { resize } from '@rass/kernels';
import { describeOnBackends, expectNoLeaks, peakBytes, randomValues } from '@rass/testkit';
import { argMax, expandDims, type Tensor3D, tensor3d, tidy, transpose } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { labelsAtSize } from './labels.ts';

const scores = (H: number, W: number, V: number): Tensor3D => tensor3d(randomValues(H * W * V, { seed: 4 }), [H, W, V]);

/** All scores at once. */
async function atOnce(x: Tensor3D, size: readonly [number, number]): Promise<ArrayLike<number>> {
  const labels = tidy(() => argMax(resize(expandDims(x, 0), size, 'bilinear'), 3));
  const values = await labels.data();
  labels.dispose();
  return values;
}

describeOnBackends('labelsAtSize', (backend) => {
  it('lies between the pixels: a row of two that becomes one of four', async () => {
    // Class 0 has 1 and 0, class 1 has 0.3 and 0.9: at a quarter 0.75 and 0.45, at three quarters 0.25 and 0.75.
    const x = tensor3d([1, 0.3, 0, 0.9], [1, 2, 2]);
    expect(Array.from(await labelsAtSize(x, [1, 4]))).toEqual([0, 0, 1, 1]);
    expect(Array.from(await labelsAtSize(x, [2, 2]))).toEqual([0, 1, 0, 1]);
    x.dispose();
  });

  it.each([
    [40, 300],
    [7, 5],
    [9, 12],
    [1, 1],
    [600, 6],
  ])('is what all scores at once give, at %i x %i', async (height, width) => {
    const x = scores(9, 12, 5);
    await expectNoLeaks(async () => {
      const labels = await labelsAtSize(x, [height, width]);
      const expected = Array.from(await atOnce(x, [height, width]));
      // Two scores may be equal but for rounding.
      const differ = Array.from(labels).filter((label, i) => label !== expected[i]).length;
      expect(differ / labels.length).toBeLessThan(0.001);
    });
    x.dispose();
  });

  it('goes in bands, the same as at once, where scores at that size are too many', async () => {
    if (backend === 'cpu' || backend === 'webgpu') return;
    // 1.5 million pixels of 150 classes are 2 ** 27.7 scores; turned, the same picture is cut into other bands.
    const x = scores(12, 16, 150);
    const turned = transpose(x, [1, 0, 2]) as Tensor3D;
    const [height, width] = [1000, 1500];
    // What runs before the first pause is the first band.
    let running = Promise.resolve(new Int32Array());
    const peak = peakBytes(() => {
      running = labelsAtSize(x, [height, width]);
    });
    const [labels, other] = [await running, await labelsAtSize(turned, [width, height])];
    let differ = 0;
    for (let y = 0; y < height; y++) {
      for (let column = 0; column < width; column++) {
        if (labels[y * width + column] !== other[column * height + y]) differ++;
      }
    }
    expect(differ / labels.length).toBeLessThan(0.001);
    expect(peak).toBeLessThan(2 ** 28);
    for (const t of [x, turned]) t.dispose();
  });

  it('stops at a signal, and refuses a size without pixels', async () => {
    const x = scores(2, 2, 2);
    await expect(labelsAtSize(x, [4, 4], { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
    await expect(labelsAtSize(x, [0, 4])).rejects.toThrow('labelsAtSize: the size is two positive integers; got [0,4]');
    x.dispose();
  });
});
