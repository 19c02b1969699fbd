import { expectClose, randomValues } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { addDifference } from './add-difference.ts';
import { cosine } from './cosine.ts';
import { linear } from './linear.ts';
import type { MergeInputs } from './method.ts';
import { modelStock } from './model-stock.ts';
import { nearswap } from './nearswap.ts';
import { nuslerp } from './nuslerp.ts';
import { passthrough } from './passthrough.ts';
import { slerp } from './slerp.ts';
import { dareLinear, dareTies, taskArithmetic, ties } from './task-arithmetic.ts';

const ROUNDING = 1e-6;
const SEEDS = [1, 2, 3, 4, 5];
// One of them longer than a block of sums.
const SHAPES: readonly (readonly number[])[] = [[1], [7], [6, 5], [4, 3, 3, 3], [101, 97], [0, 3]];

const cases = SEEDS.flatMap((seed) => SHAPES.map((shape) => ({ seed, shape })));
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

interface Drawn {
  readonly inputs: (base: Float32Array | undefined, ...tensors: Float32Array[]) => MergeInputs;
  readonly base: Float32Array;
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly c: Float32Array;
  /** Uniform in [0, 1). */
  readonly share: number;
}

function draw({ seed, shape }: (typeof cases)[number]): Drawn {
  const values = (k: number) => randomValues(sizeOf(shape), { seed: 100 * seed + k });
  const [share] = randomValues(1, { seed, low: 0, high: 1 });
  const inputs: Drawn['inputs'] = (base, ...tensors) => ({ name: `tensor ${seed}`, shape, base, tensors });
  return { inputs, base: values(0), a: values(1), b: values(2), c: values(3), share };
}

const same = (actual: Float32Array, expected: Float32Array) => expectClose(actual, expected, { relative: ROUNDING });
const task = { lambda: 1, normalize: false };
const tied = { ...task, rescale: 'none' as const };
const dare = { ...task, rescale: 'magnitude' as const, seed: 3 };

describe.each(cases)('laws, seed $seed, shape $shape', (each) => {
  const { inputs, base, a, b, c, share } = draw(each);

  it('a model merged with itself is itself', async () => {
    const whole = { flatten: true, row_wise: false };
    await same(linear(inputs(undefined, a, a, a), { weight: [0.2, 3, 0.7], normalize: true }), a);
    await same(slerp(inputs(undefined, a, a), { t: share }), a);
    await same(slerp(inputs(a, a), { t: share }), a);
    await same(nuslerp(inputs(undefined, a, a), { weight: [share, 1], ...whole }), a);
    await same(nuslerp(inputs(base, a, a), { weight: [share, 1], ...whole }), a);
    await same(nuslerp(inputs(undefined, a, a), { weight: [share, 1], flatten: false, row_wise: true }), a);
    await same(modelStock(inputs(a, a, a), { filter_wise: true }), a);
    await same(modelStock(inputs(base, a, a, a), { filter_wise: false }), a);
    await same(nearswap(inputs(a, a), { t: share }), a);
    await same(cosine(inputs(undefined, a, a), { t: share, where: 'different' }), a);
    await same(cosine(inputs(a, a), { t: share, where: 'similar' }), a);
    await same(taskArithmetic(inputs(a, a, a), { weight: [share, 2], ...task }), a);
    await same(ties(inputs(base, a, a), { weight: [share, 2], density: [1, 1], ...tied, normalize: true }), a);
    await same(dareTies(inputs(a, a), { weight: [share], density: [0.4], ...dare }), a);
  });

  it('the order of the models does not matter', async () => {
    await same(
      linear(inputs(undefined, a, b, c), { weight: [1, share, -2], normalize: false }),
      linear(inputs(undefined, c, a, b), { weight: [-2, 1, share], normalize: false }),
    );
    await same(
      linear(inputs(undefined, a, b), { weight: [1, share], normalize: true }),
      linear(inputs(undefined, b, a), { weight: [share, 1], normalize: true }),
    );
    await same(slerp(inputs(undefined, a, b), { t: share }), slerp(inputs(undefined, b, a), { t: 1 - share }));
    const turned = { flatten: false, row_wise: false };
    await same(
      nuslerp(inputs(base, a, b), { weight: [share, 1], ...turned }),
      nuslerp(inputs(base, b, a), { weight: [1, share], ...turned }),
    );
    await same(
      ties(inputs(base, a, b, c), { weight: [1, share, 2], density: [0.3, 0.5, 0.8], ...tied }),
      ties(inputs(base, c, a, b), { weight: [2, 1, share], density: [0.8, 0.3, 0.5], ...tied }),
    );
    const stocked = { filter_wise: true };
    await same(modelStock(inputs(base, a, b, c), stocked), modelStock(inputs(base, b, c, a), stocked));
  });

  it('the ends of an interpolation are the models', async () => {
    await same(slerp(inputs(undefined, a, b), { t: 0 }), a);
    await same(slerp(inputs(undefined, a, b), { t: 1 }), b);
    await same(slerp(inputs(base, a), { t: 1 }), a);
    for (const row_wise of [false, true]) {
      await same(nuslerp(inputs(undefined, a, b), { weight: [1, 0], flatten: false, row_wise }), a);
      await same(nuslerp(inputs(base, a, b), { weight: [0, 2], flatten: false, row_wise }), b);
    }
    await same(linear(inputs(undefined, a, b), { weight: [0, 3], normalize: true }), b);
    await same(nearswap(inputs(a, b), { t: 0 }), a);
    await same(nearswap(inputs(a, b), { t: 3 }), b);
    await same(cosine(inputs(undefined, a, b), { t: 0, where: 'different' }), a);
    await same(passthrough(inputs(undefined, a), { scale: [1] }), a);
  });

  it('weights of a mean are shares', async () => {
    const mean = linear(inputs(undefined, a, b), { weight: [2, 6], normalize: true });
    await same(mean, linear(inputs(undefined, a, b), { weight: [0.25, 0.75], normalize: false }));
    await same(mean, linear(inputs(undefined, a, b), { weight: [0.25, 0.75], normalize: true }));
  });

  it('nothing added is the base, and all kept is task arithmetic', async () => {
    const nothing = { ...task, lambda: 0 };
    const both = { weight: [1, share], density: [1, 1] };
    await same(taskArithmetic(inputs(base, a, b), { weight: [1, share], ...nothing }), base);
    await same(ties(inputs(base, a, b), { ...both, density: [0.2, 0.9], ...tied, lambda: 0 }), base);
    await same(dareLinear(inputs(base, a, b), { ...both, density: [0.2, 0.9], ...dare, lambda: 0 }), base);
    await same(ties(inputs(base, a, b), { ...both, density: [0, 0], ...tied }), base);
    await same(addDifference(inputs(base, a, b), { alpha: 0 }), a);
    const summed = taskArithmetic(inputs(base, a, b), { weight: [1, share], ...task });
    await same(dareLinear(inputs(base, a, b), { ...both, ...dare }), summed);
    await same(addDifference(inputs(base, a, b), { alpha: share }), summed);
    const alone = taskArithmetic(inputs(base, a), { weight: [share], ...task });
    await same(ties(inputs(base, a), { weight: [share], density: [1], ...tied }), alone);
    await same(linear(inputs(undefined, base, a), { weight: [1 - share, share], normalize: true }), alone);
  });

  it('the inputs stay as they are', () => {
    const before = [base, a, b].map((values) => values.slice());
    ties(inputs(base, a, b), { weight: [1, 1], density: [0.5, 0.5], ...tied, rescale: 'magnitude' });
    dareLinear(inputs(base, a, b), { weight: [1, 1], density: [0.5, 0.5], ...dare });
    modelStock(inputs(base, a, b), { filter_wise: false });
    expect([base, a, b]).toEqual(before);
  });
});
