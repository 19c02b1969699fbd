import { describeOnBackends, expectClose, expectNoLeaks, gradientCheck, randomValues } from '@rass/testkit';
import {
  concat,
  keep,
  matMul,
  mul,
  slice,
  softmax,
  sum,
  type Tensor3D,
  type Tensor4D,
  tensor3d,
  tensor4d,
  tidy,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { attention, attentionWithProbabilities } from './attention.ts';

const random = (shape: [number, number, number], seed: number): Tensor3D =>
  tensor3d(randomValues(shape[0] * shape[1] * shape[2], { seed }), shape);

/** One head at a time, straight from the definition. */
function byDefinition(q: Tensor3D, k: Tensor3D, v: Tensor3D, heads: number): Tensor3D {
  const size = q.shape[2] / heads;
  const parts = Array.from({ length: heads }, (_, n) => {
    const [qn, kn, vn] = [q, k, v].map((x) => slice(x, [0, 0, n * size], [-1, -1, size]));
    return matMul(softmax(mul(matMul(qn, kn, false, true), 1 / Math.sqrt(size))), vn);
  });
  return concat(parts, 2) as Tensor3D;
}

describeOnBackends('attention by finite differences', () => {
  it('has right gradients where causal, and where it works by several blocks', async () => {
    const [q, k, v] = [random([1, 5, 8], 1), random([1, 5, 8], 2), random([1, 5, 8], 3)];
    const run = (options: () => { causal?: boolean; mask?: Tensor4D }) =>
      gradientCheck(
        // A mask that the forward pass makes is gone when its tidy ends, before the backward pass.
        (a, b, c) => tidy(() => attention(a as Tensor3D, b as Tensor3D, c as Tensor3D, { heads: 2, ...options() })),
        [q, k, v],
      );
    await run(() => ({ causal: true }));
    await run(() => ({ mask: tensor4d([0, -1, 2, 0, -1e30], [1, 1, 1, 5]) }));
  });
}, ['cpu']);

describeOnBackends('attention', () => {
  const shapes = { q: [2, 7, 8] as [number, number, number], kv: [2, 5, 8] as [number, number, number] };

  it('equals softmax(q k / sqrt(d)) v per head', async () => {
    const [q, k, v] = [random(shapes.q, 1), random(shapes.kv, 2), random(shapes.kv, 3)];
    await expectClose(attention(q, k, v, { heads: 2 }), byDefinition(q, k, v, 2));
  });

  it('gives the same result with and without the probabilities, whose rows sum to 1', async () => {
    const [q, k, v] = [random(shapes.q, 1), random(shapes.kv, 2), random(shapes.kv, 3)];
    const both = attentionWithProbabilities(q, k, v, { heads: 4 });
    await expectClose(both.out, attention(q, k, v, { heads: 4 }));
    expect(both.probabilities.shape).toEqual([2, 4, 7, 5]);
    await expectClose(sum(both.probabilities, -1), new Float32Array(2 * 4 * 7).fill(1));
  });

  it('sees no later key when causal', async () => {
    const x = random([1, 6, 4], 1);
    const whole = attention(x, x, x, { heads: 1, causal: true });
    const start = slice(x, [0, 0, 0], [1, 3, 4]);
    await expectClose(slice(whole, [0, 0, 0], [1, 3, 4]), attention(start, start, start, { heads: 1, causal: true }));
    await expectClose(slice(whole, [0, 0, 0], [1, 1, 4]), slice(x, [0, 0, 0], [1, 1, 4]));
  });

  it('leaves out what a mask hides', async () => {
    const [q, k, v] = [random(shapes.q, 1), random(shapes.kv, 2), random(shapes.kv, 3)];
    const mask: Tensor4D = tensor4d([0, 0, 0, -1e30, -1e30], [1, 1, 1, 5]);
    const [k3, v3] = [k, v].map((x) => slice(x, [0, 0, 0], [2, 3, 8]) as Tensor3D);
    await expectClose(attention(q, k, v, { heads: 2, mask }), attention(q, k3, v3, { heads: 2 }));
  });

  it('leaves no tensor behind', async () => {
    const [q, k, v] = [random(shapes.q, 1), random(shapes.kv, 2), random(shapes.kv, 3)].map((x) => keep(x));
    await expectNoLeaks(() => tidy(() => attention(q, k, v, { heads: 2 })).dispose());
  });

  it('names what does not fit', () => {
    const [q, k] = [random([1, 4, 6], 1), random([1, 4, 8], 2)];
    expect(() => attention(q, k, k, { heads: 2 })).toThrow(
      'attention: q [B, L, C], k [B, S, C], v [B, S, C], C divisible by the heads; got q [1,4,6], k [1,4,8]',
    );
  });
});
