import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { expect, it } from 'vitest';
import { normalNoise } from './random.ts';
import { randomParams } from './sources.ts';

describeOnBackends('normalNoise', () => {
  it('is standard normal, and the same for the same seed, zero too', async () => {
    await expectNoLeaks(async () => {
      const [once, again, other] = [0, 0, 1].map((seed) => normalNoise([40, 5, 50], seed));
      await expectClose(again, once, { relative: 0 });
      const values = Array.from(await once.data());
      expect(values).not.toEqual(Array.from(await other.data()));
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
      // Three standard errors of 10,000 values.
      expect(Math.abs(mean)).toBeLessThan(0.03);
      expect(Math.abs(variance - 1)).toBeLessThan(0.043);
      for (const t of [once, again, other]) t.dispose();
    });
  });
});

it.each([Number.NaN, undefined, null, 1.5, '1', Number.POSITIVE_INFINITY])('refuses %s as a seed', (seed) => {
  expect(() => normalNoise([2], seed as number)).toThrow(
    `normalNoise: a seed is a whole number; got ${seed}; give one, such as 0`,
  );
  expect(() => randomParams(seed as number)).toThrow(`randomParams: a seed is a whole number; got ${seed}`);
});
