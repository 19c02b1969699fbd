import { grads, mul, type Scalar, sum, type Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import { expectClose } from './closeness.ts';
import { randomValues } from './random.ts';

export interface GradientCheckOptions {
  /** Step of the central difference. */
  epsilon?: number;
  /** Allowed difference as a share of the largest gradient. */
  relative?: number;
  /** At most this many elements of each input are probed, spread evenly. */
  probes?: number;
  seed?: number;
}

async function probe(
  loss: (...xs: Tensor[]) => Scalar,
  xs: Tensor[],
  which: number,
  index: number,
  step: number,
): Promise<number> {
  const values = Float32Array.from(await xs[which].data());
  const evaluate = async (delta: number): Promise<[number, number]> => {
    const moved = values.slice();
    moved[index] += delta;
    const out = tidy(() => loss(...xs.map((x, i) => (i === which ? tensor(moved, x.shape) : x))));
    const [value] = await out.data();
    out.dispose();
    return [value, moved[index]];
  };
  const [high, x1] = await evaluate(step);
  const [low, x0] = await evaluate(-step);
  return (high - low) / (x1 - x0);
}

/** Compares the gradients of sum(f(...xs) * R), R fixed and random, with central differences, for every input.
 * Float32 limits the difference quotient, so the tolerance is of the largest gradient, by default 1e-2. */
export async function gradientCheck(
  f: (...xs: Tensor[]) => Tensor,
  xs: Tensor[],
  options: GradientCheckOptions = {},
): Promise<void> {
  const { epsilon = 1e-2, relative = 1e-2, probes = 24, seed = 1 } = options;
  const loss = (...inputs: Tensor[]): Scalar => {
    const y = f(...inputs);
    return sum(mul(y, tensor(randomValues(y.size, { seed }), y.shape)));
  };
  const analytic = grads(loss)(xs);
  for (let which = 0; which < xs.length; which++) {
    const all = await analytic[which].data();
    const stride = Math.max(1, Math.floor(xs[which].size / probes));
    const numeric: number[] = [];
    const ours: number[] = [];
    for (let index = 0; index < xs[which].size; index += stride) {
      numeric.push(await probe(loss, xs, which, index, epsilon));
      ours.push(all[index]);
    }
    await expectClose(ours, numeric, { relative, label: `gradient of input ${which}` });
  }
  for (const g of analytic) g.dispose();
}
