import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { add, dispose, matMul, mul, relu, sum, type Tensor, tensor1d, tensor2d, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { checkpoint, forwardPass, gradients } from '../index.ts';

const model = ({ w, b, x }: Record<string, Tensor>): { y: Tensor; z: Tensor } => {
  const h = relu(add(matMul(x, w), b));
  return { y: h, z: mul(h, h) };
};
const inputs = () => ({
  w: tensor2d([1, -2, 3, 0.5, 1, -1], [3, 2]),
  b: tensor1d([0.1, -0.2]),
  x: tensor2d([1, 2, -1, 0.5, -0.5, 2], [2, 3]),
});

describeOnBackends('forwardPass', () => {
  it('gives the gradients of one whole pass, after its outputs were awaited', async () => {
    const tensors = inputs();
    const dy = tensor2d([1, 2, 3, 4], [2, 2]);
    const whole = gradients((t) => {
      const { y, z } = model(t);
      return add(sum(mul(y, dy)), sum(mul(z, dy)));
    }, tensors);
    await expectNoLeaks(async () => {
      const pass = forwardPass(model, tensors);
      await pass.outputs.y.data();
      const parts = pass.gradients({ y: dy, z: dy });
      for (const name of ['w', 'b', 'x'] as const) await expectClose(parts[name], whole[name], { label: name });
      expect(pass.outputs.y.isDisposed).toBe(true);
      dispose(parts);
      expect(() => pass.gradients({ y: dy })).toThrow(
        'forwardPass: gradients are taken once; the pass is used up; run it again',
      );
    });
    dispose([whole, tensors, dy] as never);
  });

  it('goes through checkpoints, leaves out outputs that do not matter, and has zeros for what these do not touch', async () => {
    const tensors = { ...inputs(), idle: tensor1d([1, 2]) };
    const dy = tensor2d([1, 2, 3, 4], [2, 2]);
    const expected = gradients((t) => sum(mul(model(t).y, dy)), inputs());
    await expectNoLeaks(async () => {
      const pass = forwardPass(({ w, b, x, idle }) => {
        const { y, z } = checkpoint((...[cw, cb, cx]: Tensor[]) => model({ w: cw, b: cb, x: cx }), [w, b, x]);
        return { y, other: add(sum(z), sum(idle)) };
      }, tensors);
      const found = pass.gradients({ y: dy });
      await expectClose(found.w, expected.w);
      await expectClose(found.idle, [0, 0]);
      dispose(found);
    });
    dispose([tensors, dy, expected] as never);
  });

  it('can be given up, and an error in it leaves nothing behind', async () => {
    const tensors = inputs();
    await expectNoLeaks(() => {
      const pass = forwardPass(model, tensors);
      pass.dispose();
      pass.dispose();
      expect(() =>
        forwardPass((t) => {
          model(t);
          throw new Error('stopped');
        }, tensors),
      ).toThrow('stopped');
    });
    dispose(tensors);
  });

  it('says what does not fit', () => {
    const tensors = inputs();
    const pass = forwardPass(model, tensors);
    const wrong = zeros([3]);
    expect(() => pass.gradients({})).toThrow(
      'forwardPass: gradients are of at least one output; got none; give the gradient of a loss by it',
    );
    expect(() => pass.gradients({ q: wrong } as never)).toThrow(
      'forwardPass: dys are named as the outputs, y, z; got "q"; take one of these',
    );
    expect(() => pass.gradients({ y: wrong })).toThrow(
      'forwardPass: the dy of "y" is like it, float32 [2,2]; got float32 [3]; reshape or cast it',
    );
    pass.dispose();
    expect(() => gradients((t) => forwardPass(model, t).outputs.y, tensors)).toThrow(
      'forwardPass: starts where nothing is recorded; got called inside a gradient; use gradients() there',
    );
    dispose([tensors, wrong] as never);
  });
});
