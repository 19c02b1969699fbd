import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { mul, square, sum, type Tensor, tensor1d, variable } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { gradients, valueAndGradients } from './gradients.ts';

describeOnBackends('valueAndGradients', () => {
  it('gives the value and a gradient for each name', async () => {
    const tensors = { a: tensor1d([1, 2]) as Tensor, b: tensor1d([3, 4]) as Tensor };
    await expectNoLeaks(async () => {
      const { value, gradients: found } = valueAndGradients(({ a, b }) => sum(mul(square(a), b)), tensors);
      await expectClose(value, [19]);
      await expectClose(found.a, [6, 16]);
      await expectClose(found.b, [1, 4]);
      for (const t of [value, found.a, found.b]) t.dispose();
    });
    for (const t of Object.values(tensors)) t.dispose();
  });

  it('differentiates by variables that the function reads from outside', async () => {
    const weight = variable(tensor1d([1, 2]));
    await expectNoLeaks(async () => {
      const found = gradients(() => sum(square(weight)), { weight: weight as Tensor });
      await expectClose(found.weight, [2, 4]);
      found.weight.dispose();
    });
    weight.dispose();
  });

  it('weighs the value by dy', async () => {
    const x = tensor1d([1, 2]) as Tensor;
    const dy = tensor1d([10, 1]);
    const found = gradients(({ x: z }) => square(z), { x }, { dy });
    await expectClose(found.x, [20, 4]);
    for (const t of [x, dy, found.x]) t.dispose();
  });

  it('gives zeros for what does not matter, where asked', async () => {
    const tensors = { used: tensor1d([1, 2]) as Tensor, idle: tensor1d([3, 4]) as Tensor };
    await expectNoLeaks(async () => {
      const found = gradients(({ used }) => sum(square(used)), tensors, { unconnected: 'zeros' });
      await expectClose(found.used, [2, 4]);
      await expectClose(found.idle, [0, 0]);
      for (const t of Object.values(found)) t.dispose();
    });
    for (const t of Object.values(tensors)) t.dispose();
  });

  it('names the fault', async () => {
    const x = tensor1d([1, 2]) as Tensor;
    const idle = tensor1d([3, 4]) as Tensor;
    const count = tensor1d([1, 2], 'int32') as Tensor;
    await expectNoLeaks(() => {
      expect(() => valueAndGradients(() => sum(square(x)), { x, idle })).toThrow(
        `valueAndGradients: the value must depend on each tensor; it does not on "idle" [2]; leave it out, or pass { unconnected: 'zeros' }`,
      );
      expect(() => gradients(() => sum(x), {})).toThrow(
        'gradients: there must be a tensor to differentiate by; got none; name at least one',
      );
      expect(() => gradients(() => sum(x), { count })).toThrow(
        'gradients: gradients are by float32 tensors; "count" is int32; cast it, or leave it out',
      );
      expect(() => gradients(() => 3 as unknown as Tensor, { x })).toThrow(
        'gradients: the function must return one tensor; got number; return the loss',
      );
      expect(() => gradients(() => sum(mul(count, count)), { x })).toThrow(
        'gradients: the value must be float32; got int32; whole numbers and truth values have no gradient',
      );
      expect(() => gradients(() => sum(square(x)), { x }, { dy: idle })).toThrow(
        'gradients: dy must be like the value, float32 []; got float32 [2]; reshape or cast it',
      );
    });
    for (const t of [x, idle, count]) t.dispose();
  });
});
