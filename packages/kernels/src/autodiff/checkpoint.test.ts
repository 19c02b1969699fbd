import { describeOnBackends, expectClose, expectNoLeaks, peakBytes } from '@rass/testkit';
import {
  add,
  argMax,
  cast,
  grad,
  grads,
  matMul,
  mul,
  randomNormal,
  type Scalar,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  tanh,
  tensor,
  tensor1d,
  tidy,
  variable,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { checkpoint } from './checkpoint.ts';
import { gradients } from './gradients.ts';

const width = 8;
const random = (seed: number, shape: [number, number] = [width, width]): Tensor2D =>
  randomNormal(shape, 0, 0.4, 'float32', seed);

/** A residual block of `depth` layers. */
function residual(depth: number): (x: Tensor, weight: Tensor) => Tensor {
  return (x, weight) => {
    let y = x;
    for (let i = 0; i < depth; i++) y = add(y, tanh(matMul(y as Tensor2D, weight as Tensor2D)));
    return y;
  };
}

type Wrap = (block: (x: Tensor, weight: Tensor) => Tensor) => (x: Tensor, weight: Tensor) => Tensor;
const plain: Wrap = (block) => block;
const asInput: Wrap = (block) => (x, weight) => checkpoint(block, [x, weight]);
const closedOver: Wrap = (block) => (x, weight) => checkpoint((z: Tensor) => block(z, weight), [x]);

function network(wrap: Wrap): (x: Tensor, a: Tensor, b: Tensor) => Scalar {
  const block = wrap(residual(3));
  return (x, a, b) => sum(square(block(block(block(x, a), b), a)));
}

async function expectSameGradients(actual: Tensor[], expected: Tensor[]): Promise<void> {
  for (const [i, gradient] of actual.entries())
    await expectClose(gradient, expected[i], { relative: 1e-5, label: `gradient ${i}` });
  for (const gradient of [...actual, ...expected]) gradient.dispose();
}

describeOnBackends('checkpoint', () => {
  it.each([
    ['weights as inputs', asInput],
    ['weights from outside', closedOver],
  ])('gives the gradients of the plain network: %s', async (_, wrap) => {
    const inputs = [random(1), random(2), random(3)];
    await expectNoLeaks(async () => {
      const found = grads(network(wrap) as (...xs: Tensor[]) => Tensor)(inputs);
      await expectSameGradients(found, grads(network(plain) as (...xs: Tensor[]) => Tensor)(inputs));
    });
    for (const input of inputs) input.dispose();
  });

  it('finds variables in the block, and leaves those alone that nobody differentiates by', async () => {
    const [trained, frozen] = [variable(random(4)), variable(random(5))];
    const x = random(6);
    const loss = (wrap: Wrap) => () =>
      sum(
        square(
          wrap((z) => matMul(tanh(matMul(z as Tensor2D, trained as Tensor2D)) as Tensor2D, frozen as Tensor2D))(x, x),
        ),
      );
    await expectNoLeaks(async () => {
      const found = gradients(
        loss((block) => (z, w) => checkpoint(block, [z, w])),
        { trained: trained as Tensor },
      );
      const expected = gradients(loss(plain), { trained: trained as Tensor });
      await expectSameGradients([found.trained], [expected.trained]);
    });
    for (const t of [trained, frozen, x]) t.dispose();
  });

  it('passes several outputs through, as an array and by name, used or not', async () => {
    const inputs = [random(1), random(2)];
    const parts = (x: Tensor, y: Tensor) => ({
      product: mul(x, y),
      unused: square(x),
      difference: sub(x, y),
      position: argMax(x, 1),
    });
    type Parts = ReturnType<typeof parts>;
    const loss = ({ product, difference, position }: Parts): Scalar =>
      sum(add(mul(square(product), difference), cast(position, 'float32')));
    const named = (x: Tensor, y: Tensor) => loss(checkpoint(parts, [x, y]));
    const listed = (x: Tensor, y: Tensor) => {
      const [product, unused, difference, position] = checkpoint(
        (a: Tensor, b: Tensor) => Object.values(parts(a, b)),
        [x, y],
      );
      return loss({ product, unused, difference, position } as Parts);
    };
    const reference = (x: Tensor, y: Tensor) => loss(parts(x, y));
    await expectNoLeaks(async () => {
      for (const f of [named, listed]) {
        await expectSameGradients(
          grads(f as (...xs: Tensor[]) => Tensor)(inputs),
          grads(reference as (...xs: Tensor[]) => Tensor)(inputs),
        );
      }
    });
    for (const input of inputs) input.dispose();
  });

  it('may hand an input or one tensor twice through', async () => {
    const x = tensor1d([1, 2, 3]);
    const loss = (z: Tensor): Scalar => {
      const [same, twice, again] = checkpoint(
        (a: Tensor) => {
          const b = square(a);
          return [a, b, b];
        },
        [z],
      );
      return sum(add(mul(same, twice), mul(again, 2)));
    };
    await expectNoLeaks(async () => {
      const found = grad(loss as (z: Tensor) => Tensor)(x);
      await expectClose(found, [3 + 4, 12 + 8, 27 + 12]);
      found.dispose();
    });
    x.dispose();
  });

  it('nests', async () => {
    const inputs = [random(1), random(2), random(3)];
    const inner = asInput(residual(2));
    const nested = closedOver((x, weight) => inner(inner(x, weight), weight));
    const whole = (wrapped: typeof nested) => (x: Tensor, a: Tensor, b: Tensor) =>
      sum(square(wrapped(wrapped(x, a), b)));
    const reference = residual(4);
    await expectNoLeaks(async () => {
      const found = grads(whole(nested) as (...xs: Tensor[]) => Tensor)(inputs);
      await expectSameGradients(found, grads(whole(reference) as (...xs: Tensor[]) => Tensor)(inputs));
    });
    for (const input of inputs) input.dispose();
  });

  it('gives second derivatives', async () => {
    const x = tensor1d([0.3, -0.7]);
    const block = (z: Tensor): Tensor => mul(tanh(z), square(z));
    const second = (f: (z: Tensor) => Tensor) => grad((z: Tensor) => sum(square(grad((w: Tensor) => sum(f(w)))(z))))(x);
    await expectNoLeaks(async () => {
      await expectSameGradients([second((z) => checkpoint(block, [z]))], [second(block)]);
    });
    x.dispose();
  });

  it('keeps the inputs of its blocks alone', () => {
    const size = 64;
    const inputs = [random(1, [size, size]), random(2, [size, size]), random(3, [size, size])];
    const deep = (wrap: Wrap) => {
      const block = wrap((x, weight) => tidy(() => residual(6)(x, weight)));
      return (x: Tensor, a: Tensor, b: Tensor) => sum(square([a, b, a, b, a, b].reduce((y, w) => block(y, w), x)));
    };
    const peak = (wrap: Wrap): number =>
      peakBytes(() => {
        for (const gradient of grads(deep(wrap) as (...xs: Tensor[]) => Tensor)(inputs)) gradient.dispose();
      });
    const bytes = 4 * size * size;
    // Each of 36 layers keeps its input and its tanh; the checkpoints keep 6 inputs, and one block of 6 layers at a time.
    expect(peak(plain)).toBeGreaterThan(2 * 36 * bytes);
    expect(peak(asInput)).toBeLessThan((6 + 2 * 6 + 10) * bytes);
    for (const input of inputs) input.dispose();
  });

  it('runs the block and no more where nothing is recorded', async () => {
    const x = tensor1d([1, 2]);
    await expectNoLeaks(async () => {
      const { doubled } = checkpoint((z: Tensor) => ({ doubled: mul(square(z), 2) }), [x]);
      await expectClose(doubled, [2, 8]);
      doubled.dispose();
    });
    x.dispose();
  });

  it('refuses a tensor of the forward pass that is not an input', async () => {
    const x = tensor([1, 2], [2, 1]);
    await expectNoLeaks(() => {
      expect(() =>
        grad((z: Tensor) => {
          const made = square(z);
          return sum(checkpoint((w: Tensor) => mul(w, made), [z]));
        })(x),
      ).toThrow(
        'checkpoint: a block takes tensors of the forward pass as inputs; got one of shape [2,1] from outside; add it to the inputs',
      );
    });
    x.dispose();
  });

  it('refuses outputs that are no tensors', async () => {
    const x = tensor1d([1]);
    await expectNoLeaks(() => {
      const block = (() => ({ loss: 3 })) as unknown as (z: Tensor) => Tensor;
      expect(() => grad((z: Tensor) => checkpoint(block, [z]))(x)).toThrow(
        'checkpoint: a block returns a tensor, an array or a plain object of tensors; got number at loss; return tensors only',
      );
    });
    x.dispose();
  });

  it('leaks nothing when the block fails, the first time or the second', async () => {
    const x = tensor1d([1, 2]);
    for (const failsAt of [1, 2]) {
      let runs = 0;
      const block = (z: Tensor): Tensor => {
        const y = square(z);
        runs++;
        if (runs === failsAt) throw new Error(`run ${runs}`);
        return square(y);
      };
      await expectNoLeaks(() => {
        expect(() => grad((z: Tensor) => sum(checkpoint(block, [square(z)])))(x)).toThrow(`run ${failsAt}`);
      });
    }
    x.dispose();
  });
});
