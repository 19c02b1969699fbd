import { gradients } from '@rass/kernels';
import { describeOnBackends, expectNoLeaks, expectTensorsClose, randomValues } from '@rass/testkit';
import {
  add,
  dispose,
  matMul,
  mean,
  type Scalar,
  slice,
  square,
  sub,
  type Tensor,
  tensor,
  tidy,
  variable,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { gradientSum } from './accumulate.ts';

const ROWS = 10;

describeOnBackends('sums of gradients', () => {
  it('weighted parts of a batch make the gradient of the whole', () =>
    expectNoLeaks(async () => {
      const x_BC = tensor(randomValues(ROWS * 4), [ROWS, 4]);
      const y_BV = tensor(randomValues(ROWS * 3, { seed: 2 }), [ROWS, 3]);
      const variables = tidy(() => ({
        w: variable(tensor(randomValues(12, { seed: 3 }), [4, 3])),
        b: variable(tensor([1, 2, 3])),
      }));
      const part = (start: number, count: number) =>
        gradients(
          () => {
            const [x, y] = [x_BC, y_BV].map((all) => slice(all, [start, 0], [count, -1]));
            return mean(square(sub(add(matMul(x, variables.w), variables.b), y))) as Scalar;
          },
          variables as Record<string, Tensor>,
        );
      const sum = gradientSum();
      for (const [start, count] of [
        [0, 4],
        [4, 1],
        [5, 5],
      ]) {
        const found = part(start, count);
        sum.add(found, count / ROWS);
        dispose(found);
      }
      const whole = part(0, ROWS);
      const parts = sum.take();
      await expectTensorsClose(parts, whole, { relative: 1e-6 });
      dispose([whole, parts, x_BC, y_BV, variables.w, variables.b]);
    }));

  it('starts anew when it was taken, and frees what was not', () =>
    expectNoLeaks(async () => {
      const one = { a: tensor([1, 2]) };
      const sum = gradientSum();
      tidy(() => sum.add(one, 2));
      const first = sum.take();
      sum.add(one, 3);
      const second = sum.take();
      expect([...(await first.a.data()), ...(await second.a.data())]).toEqual([2, 4, 3, 6]);
      sum.add(one, 1);
      sum.dispose();
      expect(() => sum.take()).toThrow(
        'gradientSum: what is taken was added; got nothing; add the gradients of a part first',
      );
      dispose([one, first, second]);
    }));

  it('refuses parts of other keys', () => {
    const sum = gradientSum();
    expect(() => sum.add({}, 1)).toThrow('gradientSum: all parts have gradients of the same keys; got none; ');
    sum.add({ a: tensor([1]), b: tensor([2]) }, 1);
    expect(() => sum.add({ a: tensor([1]) }, 1)).toThrow(
      'gradientSum: all parts have gradients of the same keys; got "b" in some; take them by the same variables',
    );
    expect(() => sum.add({ a: tensor([1]), b: tensor([1]), c: tensor([1]) }, 1)).toThrow('got "c" in some');
    sum.dispose();
    expect(() => sum.add({ a: tensor([1]) }, Number.NaN)).toThrow(
      "gradientSum: a weight is a number; got NaN; give the part's share of the batch",
    );
  });
});
