import { randomValues } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { addDifference } from './add-difference.ts';
import { cosine } from './cosine.ts';
import { keptCount, thresholdOf } from './keep-largest.ts';
import { linear } from './linear.ts';
import type { MergeInputs } from './method.ts';
import { modelStock } from './model-stock.ts';
import { nearswap } from './nearswap.ts';
import { mergeMethods, methodNamed } from './registry.ts';
import { slerp } from './slerp.ts';
import { dareLinear, taskArithmetic, ties } from './task-arithmetic.ts';

const vector = (base: number[] | undefined, ...tensors: number[][]): MergeInputs => ({
  name: 'x',
  shape: [tensors[0].length],
  base: base && Float32Array.from(base),
  tensors: tensors.map((values) => Float32Array.from(values)),
});
const rounded = (values: Float32Array): number[] => [...values].map((value) => Number(value.toFixed(5)));

describe('worked out by hand', () => {
  it('linear', () => {
    const inputs = vector(undefined, [1, 2], [3, -2]);
    expect(rounded(linear(inputs, { weight: [1, 3], normalize: true }))).toEqual([2.5, -1]);
    expect(rounded(linear(inputs, { weight: [1, 3], normalize: false }))).toEqual([10, -4]);
    expect(() => linear(inputs, { weight: [1, -1], normalize: true })).toThrow(
      'merge: linear: weights of a mean do not sum to 0; got 1, -1; change one, or set normalize: false',
    );
  });

  it('slerp, half way around a right angle', () => {
    const inputs = vector([2, 0], [0, 2]);
    const half = 2 * Math.SQRT1_2;
    expect(rounded(slerp(inputs, { t: 0.5 }))).toEqual(rounded(Float32Array.of(half, half)));
    // Opposite directions have no arc of their own.
    expect(rounded(slerp(vector([2, 0], [-2, 0]), { t: 0.25 }))).toEqual([1, 0]);
    // What has no direction stands at a right angle to everything.
    expect(rounded(slerp(vector([0, 0], [4, 2]), { t: 0.5 }))).toEqual(rounded(Float32Array.of(2 * half, half)));
  });

  it('task arithmetic and ties', () => {
    // Differences from the base: [1, -4, 2, 0.5] and [3, 2, -1, 0.25].
    const inputs = vector([1, 1, 1, 1], [2, -3, 3, 1.5], [4, 3, 0, 1.25]);
    const plain = { lambda: 1, normalize: false };
    expect(rounded(taskArithmetic(inputs, { weight: [1, 1], ...plain }))).toEqual([5, -1, 2, 1.75]);
    expect(rounded(taskArithmetic(inputs, { weight: [1, 1], lambda: 2, normalize: true }))).toEqual([5, -1, 2, 1.75]);
    // Half of each is kept: [0, -4, 2, 0] and [3, 2, 0, 0]; at the second place -4 outweighs 2.
    const half = { weight: [1, 1], density: [0.5, 0.5], rescale: 'none' as const };
    expect(rounded(ties(inputs, { ...half, ...plain }))).toEqual([4, -3, 3, 1]);
    // With weights, 3 * 2 outweighs -4.
    expect(rounded(ties(inputs, { ...half, ...plain, weight: [1, 3] }))).toEqual([10, 7, 3, 1]);
    expect(rounded(ties(inputs, { ...half, lambda: 1, normalize: true, weight: [1, 3] }))).toEqual([4, 3, 3, 1]);
    // The magnitudes' sums, 7.5 and 6.25, stay.
    const scaled = ties(inputs, { ...half, ...plain, rescale: 'magnitude' });
    expect(rounded(scaled)).toEqual([4.75, -4, 3.5, 1]);
  });

  it('model stock: models at a right angle stay nearer to the base', () => {
    // cos = 0: nothing of the mean; cos = 0.5 for two: t = 2 * 0.5 / 1.5.
    expect(rounded(modelStock(vector([0, 0], [1, 0], [0, 1]), { filter_wise: false }))).toEqual([0, 0]);
    const at60 = vector([0, 0], [1, 0], [0.5, Math.sqrt(0.75)]);
    const t = 1 / 1.5;
    const [x, y] = [0.75 * t, (Math.sqrt(0.75) / 2) * t];
    expect(rounded(modelStock(at60, { filter_wise: false }))).toEqual(rounded(Float32Array.of(x, y)));
    // cos = -1 for two has no denominator.
    expect(rounded(modelStock(vector([1, 1], [2, 1], [0, 1]), { filter_wise: false }))).toEqual([1, 1]);
  });

  it('nearswap, add difference and cosine', () => {
    expect(rounded(nearswap(vector([1, 1, 1], [1.1, 2, -3]), { t: 0.5 }))).toEqual([1.1, 1.5, 0.5]);
    expect(rounded(addDifference(vector([1, 1], [5, 6], [2, -1]), { alpha: 0.5 }))).toEqual([5.5, 5]);
    const rows = { ...vector(undefined, [1, 0, 1, 0], [2, 0, 0, 2]), shape: [2, 2] };
    expect(rounded(cosine(rows, { t: 0.5, where: 'similar' }))).toEqual([1.5, 0, 1, 0]);
    expect(rounded(cosine(rows, { t: 0.5, where: 'different' }))).toEqual([1, 0, 0.5, 1]);
  });
});

it('what models have beyond a base needs one', () => {
  expect(() => nearswap(vector(undefined, [1]), { t: 1 })).toThrow(
    'merge: nearswap merges what models have learned beyond a base; got none for "x"; give base',
  );
});

describe('the largest values', () => {
  it.each([1, 2, 3])('are found without sorting as with it, seed %d', (seed) => {
    // Few different values: many are equal.
    const values = randomValues(20_001, { seed }).map((value) => Math.round(50 * value) / 50);
    const blocks = {
      length: values.length,
      fill: (start: number, into: Float32Array) => into.set(values.subarray(start, start + into.length)),
    };
    const sorted = values.map(Math.abs).sort().reverse();
    for (const count of [1, 2, 500, 10_000, 20_000, 20_001]) {
      const { bits, equals } = thresholdOf(blocks, count);
      const [threshold] = new Float32Array(Uint32Array.of(bits).buffer);
      expect(threshold).toBe(sorted[count - 1]);
      expect(equals).toBe(count - sorted.filter((value) => value > threshold).length);
    }
  });

  it('are at least one, unless nothing is kept', () => {
    expect([keptCount(0, 5), keptCount(0.01, 5), keptCount(0.5, 5), keptCount(1, 5), keptCount(0.5, 0)]).toEqual([
      0, 1, 2, 5, 0,
    ]);
  });

  it('of equals are the earlier', () => {
    const inputs = vector([0, 0, 0, 0], [1, -1, 1, 1]);
    const kept = ties(inputs, { weight: [1], density: [0.5], rescale: 'none', lambda: 1, normalize: false });
    expect([...kept]).toEqual([1, -1, 0, 0]);
  });
});

describe('what DARE draws', () => {
  const COUNT = 200_000;
  const base = new Float32Array(COUNT);
  const model = randomValues(COUNT, { seed: 9, low: 0.5, high: 1.5 });
  const inputs: MergeInputs = { name: 'x', shape: [COUNT], base, tensors: [model] };
  const draw = (more: object, name = 'x') =>
    dareLinear(
      { ...inputs, name },
      { weight: [1], density: [0.3], lambda: 1, normalize: false, rescale: 'density', seed: 1, ...more },
    );
  const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

  it('is a share of the values, and leaves the mean as it was', () => {
    const kept = draw({});
    // Six deviations of the share of kept values, and of the mean of what is divided by the density.
    const share = kept.filter((value) => value !== 0).length / COUNT;
    expect(Math.abs(share - 0.3)).toBeLessThan(6 * Math.sqrt((0.3 * 0.7) / COUNT));
    const deviation = Math.sqrt(mean(model.map((value) => value * value)) * (1 / 0.3 - 1));
    expect(Math.abs(mean(kept) - mean(model))).toBeLessThan((6 * deviation) / Math.sqrt(COUNT));
    const at = kept.findIndex((value) => value !== 0);
    expect(kept[at]).toBeCloseTo(model[at] / 0.3, 5);
  });

  it('keeps the sum of magnitudes where it is rescaled to it', () => {
    expect(mean(draw({ rescale: 'magnitude' }))).toBeCloseTo(mean(model), 5);
    expect(Math.abs(mean(draw({ rescale: 'none' })) - 0.3 * mean(model))).toBeLessThan(0.01);
  });

  it('depends on the seed and the name alone', () => {
    expect(draw({})).toEqual(draw({}));
    expect(draw({ seed: 2 })).not.toEqual(draw({}));
    expect(draw({}, 'y')).not.toEqual(draw({}));
  });
});

describe('the registry', () => {
  it('describes every parameter', () => {
    expect([...mergeMethods.keys()]).toEqual([
      'linear',
      'slerp',
      'nuslerp',
      'task_arithmetic',
      'ties',
      'dare_linear',
      'dare_ties',
      'model_stock',
      'nearswap',
      'add_difference',
      'cosine',
      'passthrough',
    ]);
    for (const { parameters, withBase, withoutBase } of mergeMethods.values()) {
      expect(withBase ?? withoutBase).toBeDefined();
      for (const { summary, allowed } of Object.values(parameters)) expect(`${allowed}${summary}`).not.toBe('');
    }
    expect(mergeMethods.get('ties')?.parameters.density).toMatchObject({
      scope: 'model',
      allowed: 'a number from 0 to 1',
      default: 1,
    });
    expect(mergeMethods.get('dare_ties')?.parameters.rescale.allowed).toBe(
      'none or magnitude or density, or true or false',
    );
    expect(mergeMethods.get('nearswap')?.parameters.t.allowed).toBe('a number of at least 0');
  });

  it('names the closest of a method that is not there', () => {
    expect(() => methodNamed('recipe.yaml', 'dare_tiles')).toThrow(
      /^recipe\.yaml: merge_method is one of linear, slerp, .*; got "dare_tiles"; closest: dare_ties$/,
    );
  });
});
