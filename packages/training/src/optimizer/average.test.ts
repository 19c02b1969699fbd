import { describeOnBackends, expectClose, expectNoLeaks, loadGolden } from '@rass/testkit';
import { tensor, tidy, variable, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { exponentialAverage } from './average.ts';

const golden = loadGolden('training/averages');
const rows = (name: string, width: number): Float32Array[] => {
  const { values } = golden.raw(name);
  return Array.from(
    { length: values.length / width },
    (_, i) => values.slice(i * width, (i + 1) * width) as Float32Array,
  );
};

describeOnBackends('exponential averages', () => {
  it.each([
    ['plain', false],
    ['warm', true],
  ] as const)('%s, as in PyTorch and diffusers', (name, warmUp) =>
    expectNoLeaks(async () => {
      const x = tidy(() => variable(zeros([6])));
      const average = exponentialAverage({ x }, { decay: golden.config[name], warmUp });
      const expected = rows(`out/${name}`, 6);
      for (const [i, values] of rows('in/values', 6).entries()) {
        tidy(() => x.assign(tensor(values)));
        average.update();
        await expectClose(average.tensors.x, expected[i], { relative: 1e-6, label: `update ${i}` });
      }
      expect(average.numbers).toEqual({ updates: expected.length });
      average.dispose();
      x.dispose();
    }),
  );

  it('stand in for the variables during an evaluation, also one that fails', () =>
    expectNoLeaks(async () => {
      const x = tidy(() => variable(tensor([1, 2])));
      const average = exponentialAverage({ x }, { decay: 0.5 });
      average.update();
      tidy(() => x.assign(tensor([3, 6])));
      average.update();
      const seen = await average.during(async () => [...(await x.data())]);
      expect(seen).toEqual([2, 4]);
      const inside = "needs the variables' own values; they hold the averages; await during()";
      await expect(average.during(() => average.update())).rejects.toThrow(`exponentialAverage: an update ${inside}`);
      await expect(average.during(() => average.numbers)).rejects.toThrow(`exponentialAverage: saving ${inside}`);
      await expect(average.during(() => average.during(() => 1))).rejects.toThrow(`another during() ${inside}`);
      expect([...(await x.data())]).toEqual([3, 6]);
      expect([...(await average.tensors.x.data())]).toEqual([2, 4]);
      average.dispose();
      x.dispose();
    }));

  it('refuses what is no decay', () => {
    expect(() => exponentialAverage({}, { decay: 1.5 })).toThrow(
      'exponentialAverage: decay is from 0 to 1; got 1.5; 0.9999 is usual',
    );
  });
});
