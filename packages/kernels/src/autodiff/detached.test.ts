import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { div, mul, square, sum, type Tensor, tensor1d } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { detached } from './detached.ts';
import { gradients } from './gradients.ts';

describeOnBackends('detached', () => {
  it('makes a constant of what it runs', async () => {
    const x = tensor1d([1, 3]) as Tensor;
    await expectNoLeaks(async () => {
      // x / detached(sum x): the sum, 4, is a constant. Recorded, the gradient would be [3/16, -1/16] by the first.
      const found = gradients(
        ({ x: z }) =>
          div(
            square(z),
            detached(() => sum(z)),
          ),
        { x },
      );
      await expectClose(found.x, [0.5, 1.5]);
      found.x.dispose();
    });
    x.dispose();
  });

  it('lets gradients inside and behind it be', async () => {
    const x = tensor1d([1, 3]) as Tensor;
    await expectNoLeaks(async () => {
      const found = gradients(
        ({ x: z }) =>
          mul(
            z,
            detached(() => gradients(({ z: w }) => square(w), { z }).z),
          ),
        { x },
      );
      await expectClose(found.x, [2, 6]);
      found.x.dispose();
    });
    x.dispose();
  });

  it('records again after an error', async () => {
    const x = tensor1d([2]) as Tensor;
    expect(() =>
      detached(() => {
        throw new Error('stop');
      }),
    ).toThrow('stop');
    const found = gradients(({ x: z }) => square(z), { x });
    await expectClose(found.x, [4]);
    found.x.dispose();
    x.dispose();
  });
});
