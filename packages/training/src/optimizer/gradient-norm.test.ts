import { describeOnBackends, expectClose, expectNoLeaks, randomValues } from '@rass/testkit';
import { dispose, scalar, tensor, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { clipGradientValues, gradientNorm } from './gradient-norm.ts';

describeOnBackends('the norm of all gradients', () => {
  it('is that of one long vector, and the scale brings it to the limit', () =>
    expectNoLeaks(async () => {
      const gradients = {
        a: tensor([
          [1, 2],
          [2, 4],
        ]),
        b: scalar(5),
        c: zeros([2, 1, 3]),
      };
      const { norm, scale, nonFinite } = await gradientNorm(gradients, { clip: 1 });
      expect(norm).toBeCloseTo(Math.sqrt(50), 5);
      expect(scale).toBeCloseTo(1 / Math.sqrt(50), 6);
      expect(nonFinite).toBeUndefined();
      expect((await gradientNorm(gradients)).scale).toBe(1);
      expect((await gradientNorm(gradients, { clip: 8 })).scale).toBe(1);
      dispose(gradients);
    }));

  it('names the first gradient that is not finite', () =>
    expectNoLeaks(async () => {
      const gradients = { a: tensor([1, 2]), b: tensor([[1, Number.NaN]]), c: tensor([Number.POSITIVE_INFINITY]) };
      await expect(gradientNorm(gradients)).rejects.toThrow(
        'gradientNorm: gradients are finite; the squares of "b" sum to NaN; lower the learning rate, or pass ' +
          "{ onNonFinite: 'skip' } and leave such steps out",
      );
      const { nonFinite, scale } = await gradientNorm({ a: gradients.a, c: gradients.c }, { onNonFinite: 'skip' });
      expect({ nonFinite, scale }).toEqual({ nonFinite: 'c', scale: 0 });
      dispose(gradients);
    }));

  it('keeps its digits over millions of numbers', () =>
    expectNoLeaks(async () => {
      const values = randomValues(1 << 20);
      const gradients = { a: tensor(values, [1024, 1024]), b: tensor(values, [256, 4, 1024]) };
      const exact = Math.sqrt(2 * values.reduce((total, each) => total + each * each, 0));
      const { norm } = await gradientNorm(gradients);
      await expectClose([norm], [exact], { relative: 1e-5 });
      dispose(gradients);
    }));

  it('takes as many gradients as an adapter has', () =>
    expectNoLeaks(async () => {
      const gradients = Object.fromEntries(Array.from({ length: 514 }, (_, i) => [`k${i}`, tensor([i, 1])]));
      const { norm } = await gradientNorm(gradients);
      await expectClose([norm], [Math.sqrt((513 * 514 * 1027) / 6 + 514)], { relative: 1e-6 });
      dispose(gradients);
    }));

  it('values are clipped one by one', () =>
    expectNoLeaks(async () => {
      const gradients = {
        a: tensor([
          [-3, 0.25],
          [0.5, Number.POSITIVE_INFINITY],
        ]),
      };
      const clipped = clipGradientValues(gradients, 0.5);
      expect([...(await clipped.a.data())]).toEqual([-0.5, 0.25, 0.5, 0.5]);
      dispose([gradients, clipped]);
    }));

  it('says what is wrong', async () => {
    await expect(gradientNorm({})).rejects.toThrow(
      'gradientNorm: there is a gradient; got none; take them by the variables',
    );
    await expect(gradientNorm({}, { clip: 0 })).rejects.toThrow(
      'gradientNorm: a limit is more than 0; got 0; leave it out for none',
    );
    expect(() => clipGradientValues({}, -1)).toThrow('clipGradientValues: a limit is more than 0; got -1;');
  });
});
