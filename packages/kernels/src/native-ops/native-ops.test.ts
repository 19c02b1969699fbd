import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describeOnBackends, expectClose, expectNoLeaks, randomValues } from '@rass/testkit';
import { backend, ones, sigmoid, tensor1d, tensor3d, tensor4d, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { silu } from '../ops/activations.ts';
import { attention } from '../ops/attention.ts';
import { cases, compare } from '../ops/comparison.test-support.ts';
import { groupNorm } from '../ops/norm.ts';
import { setFused } from './comparison.test-support.ts';
import { NATIVE_OPERATIONS } from './definitions.ts';
import { type NativeOperations, registerNativeOperations } from './register.ts';

const TOLERANCE = 1e-5;
const bindingOf = (): NativeOperations => (backend() as unknown as { binding: NativeOperations }).binding;

/** Runs one of the programs beside this file in a process of its own. */
function run(program: string, environment: NodeJS.ProcessEnv): string {
  const file = fileURLToPath(new URL(`./${program}.test-support.ts`, import.meta.url));
  return execFileSync(process.execPath, [file], { env: { ...process.env, ...environment }, encoding: 'utf8' });
}

describeOnBackends('the native operations', () => {
  it('are all in the addon', () => {
    expect(registerNativeOperations(bindingOf(), 'cpu')).toEqual(NATIVE_OPERATIONS.map(({ name }) => name));
    expect(registerNativeOperations(bindingOf(), 'gpu')).toEqual([]);
  });

  it.each(cases.map((one) => [one.name, one] as const))('%s: as composed, with gradients', async (_, one) => {
    for (const share of await compare(one, setFused)) expect(share).toBeLessThan(TOLERANCE);
  });

  it.each([
    { RASS_NATIVE_SIMD: 'generic' },
    { RASS_NATIVE_SIMD: 'avx2' },
    { TF_NUM_INTRAOP_THREADS: '1' },
    { TF_NUM_INTRAOP_THREADS: '5' },
  ])('agree as well with %o', (environment) => {
    const found = JSON.parse(run('comparison', environment)) as Record<string, number[]>;
    expect(Object.keys(found)).toHaveLength(cases.length);
    for (const [name, shares] of Object.entries(found)) expect(Math.max(...shares), name).toBeLessThan(TOLERANCE);
  });

  it('normalise values far from zero, where squares would cancel', async () => {
    const values = randomValues(400 * 8, { seed: 3 });
    const far = values.map((value) => 10_000 + Math.round(value * 64));
    const y = groupNorm(tensor3d(far, [1, 400, 8]), ones([8]), tensor1d(new Float32Array(8)), {
      groups: 2,
      epsilon: 0,
    });
    const expected = new Float32Array(far.length);
    for (const group of [0, 1]) {
      const inGroup = (_: number, i: number) => Math.floor((i % 8) / 4) === group;
      const own = [...far].filter(inGroup);
      const mean = own.reduce((a, b) => a + b, 0) / own.length;
      const deviation = Math.sqrt(own.reduce((a, b) => a + (b - mean) ** 2, 0) / own.length);
      for (let i = 0; i < far.length; i++) if (inGroup(0, i)) expected[i] = (far[i] - mean) / deviation;
    }
    await expectClose(y, expected, { relative: TOLERANCE });
  });

  it('keep to the limits of the functions far out', async () => {
    const x = tensor1d([-1e30, -200, -90, -20, 0, 20, 90, 200, 1e30]);
    const values = await silu(x).data();
    expect(Array.from(values, Math.abs)).toEqual([0, 0, 0, expect.closeTo(20 * Math.exp(-20), 12), 0, 20, 90, 200, Math.fround(1e30)]); // biome-ignore format: one line
    expect(await sigmoid(x).data()).toHaveLength(9);
  });

  it('put scores of any size through the softmax', async () => {
    const q = tensor3d([3e4, -3e4], [1, 2, 1]);
    const k = tensor3d([1, -1, 0.5], [1, 3, 1]);
    const v = tensor3d([1, 2, 4], [1, 3, 1]);
    await expectClose(attention(q, k, v, { heads: 1 }), [1, 2]);
  });

  it('leave no tensor behind', async () => {
    const x = tensor4d(randomValues(4 * 4 * 8), [1, 4, 4, 8]);
    const flat = tensor3d(randomValues(6 * 8), [1, 6, 8]);
    const [w, b] = [tensor1d(new Float32Array(8)), tensor1d(new Float32Array(8))];
    await expectNoLeaks(() => {
      tidy(() => groupNorm(x, w, b, { groups: 2 })).dispose();
      tidy(() => attention(flat, flat, flat, { heads: 2 })).dispose();
    });
  });

  it('refuse shapes that do not fit, where called directly', () => {
    const direct = backend() as unknown as {
      executeMultipleOutputs: (name: string, attributes: unknown[], inputs: unknown[], outputs: number) => unknown;
    };
    const call = () => direct.executeMultipleOutputs('RassGegluGrad', [], [ones([2, 6]), ones([2, 2])], 1);
    expect(call).toThrow('geglu: dy is half of x; got [2,6] [2,2]');
  });

  it('outlive the worker threads that loaded them', () => {
    const once = [0, 20];
    expect(JSON.parse(run('workers', {}))).toEqual([once, once, once]);
  });
}, ['native']);
