import { describeOnBackends, expectClose, expectNoLeaks, peakBytes } from '@rass/testkit';
import {
  add,
  cast,
  conv2d,
  customGrad,
  floor,
  type GradSaveFunc,
  gather,
  getGradient,
  grad,
  grads,
  memory,
  mul,
  registerGradient,
  relu,
  type Scalar,
  scalar,
  square,
  stack,
  sum,
  type Tensor,
  type Tensor4D,
  tensor,
  tensor1d,
  tidy,
  train,
  unregisterGradient,
  variable,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { expect, it, vi } from 'vitest';
import { installGradients } from '../gradients/install.ts';

const sumOfSquares = (x: Tensor): Scalar => sum(square(x));

/** x^2 whose gradient is itself computed by a tape. */
function squareByTape(x: Tensor): Tensor {
  return customGrad((input: Tensor | GradSaveFunc, save: Tensor | GradSaveFunc) => {
    (save as GradSaveFunc)([input as Tensor]);
    return {
      value: square(input as Tensor),
      gradFunc: (dy: Tensor, [saved]: Tensor[]) => grad((z) => square(z))(saved, dy),
    };
  })(x);
}

/** A custom gradient of one input. */
function custom(value: (x: Tensor) => Tensor, gradient: (dy: Tensor, saved: Tensor[]) => Tensor | Tensor[]) {
  return customGrad((x: Tensor | GradSaveFunc, save: Tensor | GradSaveFunc) => {
    (save as GradSaveFunc)([x as Tensor]);
    return { value: value(x as Tensor), gradFunc: gradient };
  });
}

describeOnBackends('the gradient tape', () => {
  it('takes gradients inside a gradient', async () => {
    await expectNoLeaks(async () => {
      const x = tensor1d([1, -2, 3]);
      const gradient = grad((z: Tensor) => sum(mul(squareByTape(squareByTape(z)), 2)))(x);
      await expectClose(gradient, [8, -64, 216]);
      x.dispose();
      gradient.dispose();
    });
  });

  it('takes gradients of gradients', async () => {
    const x = tensor1d([1, -2, 3]);
    const cube = (z: Tensor): Scalar => sum(mul(z, square(z)));
    await expectNoLeaks(async () => {
      const second = grad((z: Tensor) => sum(mul(grad(cube)(z), z)))(x);
      await expectClose(second, [9, 36, 81]);
      second.dispose();
    });
    await expectNoLeaks(async () => {
      const third = grad((z: Tensor) => sum(grad((w: Tensor) => sum(grad(cube)(w)))(z)))(x);
      await expectClose(third, [6, 6, 6]);
      third.dispose();
    });
    x.dispose();
  });

  it('takes gradients inside a function with a gradient of its own', async () => {
    const x = tensor1d([1, 2]);
    const slopes = custom(
      (z) => grad(sumOfSquares as (z: Tensor) => Tensor)(z),
      (dy) => mul(dy, 2),
    );
    const gradient = grad((z: Tensor) => sum(square(slopes(z))))(x);
    await expectClose(gradient, [8, 16]);
    x.dispose();
    gradient.dispose();
  });

  it('leaks nothing and works on after an error in the function', async () => {
    const x = tensor1d([1, 2]);
    const failing = (z: Tensor): Tensor => {
      const y = sumOfSquares(relu(square(z)));
      if (y.size === 1) throw new Error('halfway');
      return y;
    };
    await expectNoLeaks(() => expect(() => grad(failing)(x)).toThrow('halfway'));
    const gradient = grad(sumOfSquares as (z: Tensor) => Tensor)(x);
    await expectClose(gradient, [2, 4]);
    x.dispose();
    gradient.dispose();
  });

  it('leaks nothing after an error in a gradient, or in a gradient inside it', async () => {
    const x = tensor1d([1, 2]);
    const direct = custom(square, () => {
      throw new Error('backwards');
    });
    const nested = custom(square, (_, [saved]) =>
      grad((z: Tensor) => {
        const y = sumOfSquares(square(z));
        if (y.size === 1) throw new Error('inside');
        return y;
      })(saved),
    );
    await expectNoLeaks(() =>
      expect(() => grad((z: Tensor) => sumOfSquares(direct(square(z))))(x)).toThrow('backwards'),
    );
    await expectNoLeaks(() => expect(() => grad((z: Tensor) => sumOfSquares(nested(square(z))))(x)).toThrow('inside'));
    const gradient = grad(sumOfSquares as (z: Tensor) => Tensor)(x);
    await expectClose(gradient, [2, 4]);
    x.dispose();
    gradient.dispose();
  });

  it('leaves a tensor alone that a gradient hands through', async () => {
    const x = tensor1d([1, 2]);
    const outside = tensor1d([5, 6]);
    await expectNoLeaks(async () => {
      const passes = custom(square, (dy) => dy);
      const constant = custom(square, () => outside);
      const saved = custom(square, (_, [kept]) => kept);
      const gradient = grad((z: Tensor) => {
        const z2 = add(z, 0);
        return sum(add(add(passes(z2), constant(z2)), add(saved(z2), constant(passes(z2)))));
      })(x);
      await expectClose(gradient, [1 + 5 + 1 + 5, 1 + 6 + 2 + 6]);
      gradient.dispose();
    });
    await expectClose(outside, [5, 6]);
    x.dispose();
    outside.dispose();
  });

  it('gives gradients that can be disposed of one by one', async () => {
    const [a, b] = [tensor1d([1, 2]), tensor1d([3, 4])];
    const dy = tensor1d([1, 10]);
    const [byA, byB] = grads((x: Tensor, y: Tensor) => add(x, y))([a, b], dy);
    byA.dispose();
    await expectClose(byB, [1, 10]);
    byB.dispose();
    const whole = grad((x: Tensor) => x)(a, dy);
    whole.dispose();
    await expectClose(dy, [1, 10]);
    for (const t of [a, b, dy]) t.dispose();
  });

  it('gives zeros where x only moves steps, and an error where it is not used', async () => {
    const table = tensor([1, 2, 3, 4], [4]);
    const x = tensor1d([1.4, 2.6]);
    const byPosition = grad((z: Tensor) => sum(gather(table, cast(floor(z), 'int32'))))(x);
    await expectClose(byPosition, [0, 0]);
    const [byTable] = grads((t: Tensor, z: Tensor) => sum(square(gather(t, cast(floor(z), 'int32')))))([table, x]);
    await expectClose(byTable, [0, 4, 6, 0]);
    expect(() => grad(() => sum(table))(x)).toThrow('Cannot compute gradient of y=f(x) with respect to x');
    for (const t of [table, x, byPosition, byTable]) t.dispose();
  });

  it('keeps no activation of a layer whose weights are frozen', async () => {
    const x = tensor(new Float32Array(2 * 8 * 8 * 4).fill(0.5), [2, 8, 8, 4]);
    const frozen = tensor(new Float32Array(3 * 3 * 4 * 4).fill(0.1), [3, 3, 4, 4]) as Tensor4D;
    const convolutions = (z: Tensor, w: Tensor): number => {
      let y = z;
      const before = memory().numTensors;
      for (let i = 0; i < 4; i++) {
        const previous = y;
        y = tidy(() => conv2d(previous as Tensor4D, w as Tensor4D, 1, 'same'));
        if (previous !== z) previous.dispose();
      }
      const left = memory().numTensors - before;
      y.dispose();
      return left;
    };
    let byInput = 0;
    let byBoth = 0;
    const measured =
      (write: (left: number) => void) =>
      (z: Tensor, w: Tensor = frozen) => {
        write(convolutions(z, w));
        return sum(z);
      };
    grad(
      measured((left) => {
        byInput = left;
      }),
    )(x).dispose();
    const both = grads((z: Tensor, w: Tensor) =>
      add(
        measured((left) => {
          byBoth = left;
        })(z, w),
        sum(w),
      ),
    )([x, frozen]);
    // One result; with frozen weights one handle on the weights for each layer, else also the layer's input.
    expect(byInput).toBe(1 + 4);
    expect(byBoth).toBe(1 + 4 + 4);
    for (const t of [x, frozen, ...both]) t.dispose();
  });

  it('frees activations and gradients as it goes back', () => {
    const layers = 12;
    const bytes = 4 * 64 * 64;
    const x = tensor(new Float32Array(64 * 64).fill(0.01), [64, 64]);
    const chain = (z: Tensor): Scalar => {
      let y = z;
      for (let i = 0; i < layers; i++) {
        const previous = y;
        y = tidy(() => square(relu(previous)));
      }
      return sum(y);
    };
    const peak = peakBytes(() => grad(chain as (z: Tensor) => Tensor)(x).dispose());
    // A value and an inner value for each layer, and no more than a few gradients at a time on top of them.
    expect(peak).toBeLessThan((2 * layers + 6) * bytes);
    x.dispose();
  });

  it('serves variableGrads and the optimisers', async () => {
    const weight = variable(tensor1d([1, 2]), true, 'tape-test-weight');
    const unused = variable(scalar(1), true, 'tape-test-unused');
    const optimiser = train.sgd(0.1);
    await expectNoLeaks(async () => {
      const { value, grads: found } = variableGrads(() => sumOfSquares(weight));
      await expectClose(found[weight.name], [2, 4]);
      expect(found[unused.name]).toBeUndefined();
      value.dispose();
      found[weight.name].dispose();
    });
    optimiser.minimize(() => sumOfSquares(weight), false, [weight]);
    await expectClose(weight, [0.8, 1.6]);
    for (const t of [weight, unused]) t.dispose();
    optimiser.dispose();
  });

  it('keeps both gradients of one tensor in a list', async () => {
    const x = tensor1d([1, 2]);
    const gradient = grad((z: Tensor) => sum(square(stack([z, z, mul(z, 2)]))))(x);
    await expectClose(gradient, [12, 24]);
    x.dispose();
    gradient.dispose();
  });
});

describeOnBackends('installGradients', () => {
  it('takes its place again, quietly, after another package registered a gradient', () => {
    const ours = getGradient('Square');
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    unregisterGradient('Square');
    registerGradient({
      kernelName: 'Square',
      inputsToSave: ['x'],
      gradFunc: (dy, [x]) => ({ x: () => mul(dy as Tensor, mul(x, 200)) }),
    });
    const x = tensor1d([1]);
    const foreign = grad((z: Tensor) => sum(square(z)))(x);
    expect([...foreign.dataSync()]).toEqual([200]);
    installGradients();
    installGradients();
    const repaired = grad((z: Tensor) => sum(square(z)))(x);
    expect([...repaired.dataSync()]).toEqual([2]);
    expect(getGradient('Square')).not.toBe(ours);
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
    for (const t of [x, foreign, repaired]) t.dispose();
  });
}, ['cpu']);
