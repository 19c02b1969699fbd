import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { expect, it } from 'vitest';
import { normalNoise } from './random.ts';

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
