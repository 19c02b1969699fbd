import { selectBackend } from '@rass/kernels';
import { describeOnBackends } from '@rass/testkit';
import { add, mul } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkAccuracy, relativeDifference } from './accuracy.ts';
import { CHECK_CASES, type CheckCase } from './cases.ts';

describeOnBackends('backend check', () => {
  it.each(CHECK_CASES.map((check) => [check.name, check] as const))(
    '%s agrees with double precision',
    async (_, check) => {
      expect(await checkAccuracy(check)).toMatchObject({ ok: true });
    },
  );
});

describe('the check itself', () => {
  beforeAll(() => selectBackend('cpu'));

  const doubling: CheckCase = {
    name: 'doubling',
    shapes: [[4]],
    run: ([x]) => mul(x!, 2),
    reference: ([x], seed) => ({ value: x!.map((v) => 2 * v), gradients: [seed.map((v) => 2 * v)] }),
    differentiable: true,
  };

  it('finds a wrong value', async () => {
    const wrong = { ...doubling, run: ([x]: Parameters<CheckCase['run']>[0]) => add(mul(x!, 2), 0.001) };
    const result = await checkAccuracy(wrong);
    expect(result.ok).toBe(false);
    expect(result.forward).toBeGreaterThan(1e-4);
    expect(result.gradient).toBeLessThan(1e-6);
  });

  it('finds a wrong gradient', async () => {
    const reference: CheckCase['reference'] = ([x], seed) => ({ value: x!.map((v) => 2 * v), gradients: [seed] });
    const result = await checkAccuracy({ ...doubling, reference });
    expect(result.ok).toBe(false);
    expect(result.forward).toBeLessThan(1e-6);
    expect(result.gradient).toBeCloseTo(1);
  });

  it('reports an op that throws, and is not fooled by NaN', async () => {
    const run = () => {
      throw new Error('no such kernel');
    };
    expect(await checkAccuracy({ ...doubling, run })).toEqual({
      name: 'doubling',
      ok: false,
      failure: 'no such kernel',
    });
    const nan = await checkAccuracy({ ...doubling, run: ([x]) => mul(x!, Number.NaN) });
    expect(nan.ok).toBe(false);
    expect(relativeDifference([Number.NaN, 1], Float64Array.of(0, 1))).toBeNaN();
    expect(relativeDifference([1], Float64Array.of(1, 1))).toBeNaN();
  });
});
