import { describeOnBackends, expectClose, expectNoLeaks, randomValues } from '@rass/testkit';
import {
  add,
  matMul,
  conv2d as stockConv2d,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  tensor,
  tensor1d,
  tensor3d,
  tidy,
} from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attention } from '../../../ops/attention.ts';
import { cases, compare } from '../../../ops/comparison.test-support.ts';
import { conv2d } from '../../../ops/conv2d.ts';
import { linear } from '../../../ops/linear.ts';
import { groupNorm, layerNorm } from '../../../ops/norm.ts';
import { programsOf, webgpu } from './programs.test-support.ts';

const TOLERANCE = 1e-5;
const setFused = (isFused: boolean): void => {
  webgpu().fused = isFused;
};

const random = (shape: number[], seed = 1): Tensor =>
  tensor(
    randomValues(
      shape.reduce((a, b) => a * b, 1),
      { seed, low: -2, high: 3 },
    ),
    shape,
  );

/** Asserts that our shaders give what TensorFlow.js's do. */
async function expectAsStock(run: () => Tensor): Promise<void> {
  const ours = run();
  setFused(false);
  const stock = await run().data();
  setFused(true);
  await expectClose(ours, stock, { relative: TOLERANCE });
}

describeOnBackends('the shaders', () => {
  it.each(cases.map((one) => [one.name, one] as const))('%s: as composed', async (_, one) => {
    // Gradients are composed, but for those of deformable attention, which has tests of its own.
    for (const share of await compare(one, setFused, { gradients: false })) expect(share).toBeLessThan(TOLERANCE);
  });

  it.each([
    [{ stride: 2, padding: 1 }],
    [{ dilation: 2, padding: 2 }],
    [
      {
        stride: 2,
        padding: [
          [0, 1],
          [0, 1],
        ] as const,
      },
    ],
    [
      {
        padding: [
          [2, 0],
          [0, 3],
        ] as const,
      },
    ],
  ])('convolve with %o as TensorFlow.js does', async (options) => {
    const x = random([2, 11, 9, 8]) as Tensor4D;
    const weight = random([3, 3, 8, 12], 2) as Tensor4D;
    await expectAsStock(() => conv2d(x, weight, options));
  });

  it('compute in one pass each, and leave what they cannot to others', () => {
    const x = random([1, 6, 6, 8]) as Tensor4D;
    const odd = random([1, 6, 6, 3]) as Tensor4D;
    expect(programsOf(() => tidy(() => conv2d(x, random([3, 3, 8, 4]) as Tensor4D, { padding: 1 })))).toEqual([
      expect.stringContaining('rass_convolution'),
    ]);
    const others = programsOf(() => tidy(() => conv2d(odd, random([3, 3, 3, 4]) as Tensor4D, { padding: 1 })));
    expect(others.join()).not.toContain('rass_');
    expect(others).not.toEqual([]);
    const q = random([1, 5, 16]) as never;
    expect(programsOf(() => tidy(() => attention(q, q, q, { heads: 2 })))).toEqual([
      expect.stringContaining('rass_attention'),
    ]);
    const wide = random([1, 5, 512]) as never;
    const composed = programsOf(() => tidy(() => attention(wide, wide, wide, { heads: 1 })));
    expect(composed.length).toBeGreaterThan(1);
  });

  it('leave everything to TensorFlow.js where they are turned off', () => {
    setFused(false);
    const x = random([1, 6, 6, 8]) as Tensor4D;
    const names = programsOf(() =>
      tidy(() => {
        const y = stockConv2d(x, random([3, 3, 8, 8]) as Tensor4D, 1, 'same');
        return groupNorm(y, tensor1d(new Float32Array(8)), tensor1d(new Float32Array(8)), { groups: 2 });
      }),
    );
    setFused(true);
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) expect(name).not.toContain('rass_');
  });

  it('normalise values far from zero, where squares would cancel', async () => {
    const values = randomValues(400 * 8, { seed: 3 });
    const far = values.map((value) => 10_000 + Math.round(value * 64));
    const [one, zero] = [tensor1d(new Float32Array(8).fill(1)), tensor1d(new Float32Array(8))];
    const x = tensor3d(far, [1, 400, 8]);
    const near = tensor3d(
      far.map((value) => value - 10_000),
      [1, 400, 8],
    );
    const options = { groups: 2, epsilon: 0 };
    await expectClose(groupNorm(x, one, zero, options), await groupNorm(near, one, zero, options).data(), {
      relative: TOLERANCE,
    });
    await expectClose(layerNorm(x, one, zero, 0), await layerNorm(near, one, zero, 0).data(), { relative: TOLERANCE });
  });

  it('put scores of any size through the softmax', async () => {
    const q = tensor3d([3e4, 0, 0, 0, -3e4, 0, 0, 0], [1, 2, 4]);
    const k = tensor3d([1, 0, 0, 0, -1, 0, 0, 0, 0.5, 0, 0, 0], [1, 3, 4]);
    const v = tensor3d([1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4], [1, 3, 4]);
    await expectClose(attention(q, k, v, { heads: 1 }), [1, 1, 1, 1, 2, 2, 2, 2]);
  });

  it('leave no tensor behind', async () => {
    const x = random([1, 4, 4, 8]);
    const [w, b] = [tensor1d(new Float32Array(8)), tensor1d(new Float32Array(8))];
    const run = (): void => tidy(() => groupNorm(x, w, b, { groups: 2 })).dispose();
    await expectNoLeaks(run);
    const before = webgpu().numDataIds();
    run();
    expect(webgpu().numDataIds()).toBe(before);
  });

  describe('on a GPU', () => {
    // The same adapter, for which sizes are chosen as for hardware.
    const setSoftware = (isSoftware: boolean): void => {
      (webgpu() as { isSoftware: boolean }).isSoftware = isSoftware;
    };
    let isSoftware: boolean;
    beforeEach(() => {
      ({ isSoftware } = webgpu());
      setSoftware(false);
    });
    afterEach(() => setSoftware(isSoftware));

    /** Rows and columns of a product that has just enough workgroups for a tile, or one too few for it. */
    const sizesFor = (tile: string): [rows: number, columns: number] => {
      const [rows, vectors] = tile.split('x').map(Number) as [number, number];
      // 64 workgroups of 8 x 8 threads, the last of each side not full.
      return [8 * (8 * rows) - 1, 8 * (8 * vectors * 4) - 4];
    };

    it.each(['8x2', '4x2', '4x1', '2x1', '1x1'])('products in tiles of %s: as composed', async (tile) => {
      const [rows, columns] = sizesFor(tile);
      const [x, weight] = [random([rows, 12]), random([columns, 12], 2) as Tensor2D];
      const run = (): Tensor => linear(x, weight, random([columns], 3) as Tensor1D);
      expect(programsOf(() => tidy(run))).toEqual([expect.stringContaining(`rass_product_${tile}_`)]);
      await expectAsStock(run);
    });

    it.each(['8x2', '4x2', '4x1', '2x1', '1x1'])('convolutions in tiles of %s: as composed', async (tile) => {
      const [pixels, columns] = sizesFor(tile);
      const height = Math.ceil(pixels / 8);
      const [x, weight] = [random([1, height, 8, 4]) as Tensor4D, random([3, 3, 4, columns], 2) as Tensor4D];
      const run = (): Tensor => conv2d(x, weight, { padding: 1, bias: random([columns], 3) as Tensor1D });
      expect(programsOf(() => tidy(run))).toEqual([expect.stringContaining(`rass_convolution_${tile}_`)]);
      await expectAsStock(run);
    });

    it.each([
      ['one query a thread', 1, [2, 300, 40], false],
      ['two queries a thread', 2, [401, 41, 11], false],
      ['two queries a thread, causal', 2, [401, 41, 11], true],
      ['two queries a thread, causal, more keys than queries', 2, [401, 41, 50], true],
    ] as const)('attention with %s: as composed', async (_, perThread, [images, queries, keys], causal) => {
      const of = (length: number, seed: number) => random([images, length, 8], seed) as Tensor3D;
      const [q, k, v] = [of(queries, 1), of(keys, 2), of(keys, 3)];
      const run = (): Tensor => attention(q, k, v, { heads: 1, causal });
      expect(programsOf(() => tidy(run))).toEqual([expect.stringContaining(`rass_attention_${perThread}_8_${causal}`)]);
      await expectAsStock(run);
    });

    it('products of matrices with weights of their own: as composed', async () => {
      const [a, b] = [random([3, 70, 12]) as Tensor3D, random([3, 12, 20], 2) as Tensor3D];
      const c = random([3, 20, 12], 3) as Tensor3D;
      const run = (): Tensor => add(matMul(a, b), matMul(a, c, false, true));
      const names = programsOf(() => tidy(run)).map((name) => name.split('_').slice(0, 5).join('_'));
      expect(names.slice(0, 2)).toEqual([
        expect.stringMatching(/^rass_product_\w+_false_false$/),
        expect.stringMatching(/^rass_product_\w+_true_false$/),
      ]);
      await expectAsStock(run);
    });
  });
}, ['webgpu']);
