import { describeOnBackends, expectNoLeaksOnFaults, randomValues } from '@rass/testkit';
import {
  dispose,
  grads,
  type Tensor,
  type Tensor1D,
  type Tensor3D,
  type Tensor4D,
  type Tensor5D,
  tensor,
} from '@tensorflow/tfjs-core';
import { it } from 'vitest';
import { geglu, gelu, quickGelu, silu } from './activations.ts';
import { attention } from './attention.ts';
import { multiScaleDeformableAttention } from './deformable-attention.ts';
import { groupNorm, layerNorm } from './norm.ts';

const CHANNELS = 4;
type Op = (...inputs: Tensor[]) => Tensor;

const ops: Record<string, { op: Op; shapes: readonly number[][] }> = {
  groupNorm: {
    op: (x, weight, bias) => groupNorm(x, weight as Tensor1D, bias as Tensor1D, { groups: 2 }),
    shapes: [[2, 3, 5, CHANNELS], [CHANNELS], [CHANNELS]],
  },
  'groupNorm with SiLU': {
    op: (x, weight, bias) => groupNorm(x, weight as Tensor1D, bias as Tensor1D, { groups: 2, activation: 'silu' }),
    shapes: [[2, 3, 5, CHANNELS], [CHANNELS], [CHANNELS]],
  },
  layerNorm: {
    op: (x, weight, bias) => layerNorm(x, weight as Tensor1D, bias as Tensor1D),
    shapes: [[2, 3, CHANNELS], [CHANNELS], [CHANNELS]],
  },
  silu: { op: (x) => silu(x), shapes: [[2, 3]] },
  gelu: { op: (x) => gelu(x), shapes: [[2, 3]] },
  quickGelu: { op: (x) => quickGelu(x), shapes: [[2, 3]] },
  geglu: { op: (x) => geglu(x), shapes: [[2, 6]] },
  attention: {
    op: (q, k, v) => attention(q as Tensor3D, k as Tensor3D, v as Tensor3D, { heads: 2 }),
    shapes: [[1, 3, CHANNELS], [1, 5, CHANNELS], [1, 5, CHANNELS]], // biome-ignore format: one line
  },
  deformableAttention: {
    op: (value, locations, weights) =>
      multiScaleDeformableAttention(
        value as Tensor4D,
        [{ rows: 2, columns: 3 }],
        locations as Tensor5D,
        weights as Tensor4D,
      ),
    shapes: [[1, 6, 2, 2], [1, 3, 2, 1, 2], [1, 3, 2, 1]], // biome-ignore format: one line
  },
};

describeOnBackends('an op in which a kernel fails', () => {
  it.each(Object.entries(ops))('leaves nothing behind, forward or backward: %s', async (_, { op, shapes }) => {
    const inputs = shapes.map((shape, i) => {
      const count = shape.reduce((a, b) => a * b, 1);
      return tensor(randomValues(count, { seed: i + 1 }), shape);
    });
    await expectNoLeaksOnFaults(() => op(...inputs).dispose());
    await expectNoLeaksOnFaults(() => dispose(grads(op)(inputs)));
    dispose(inputs);
  });
});
