import { describeOnBackends, gradientCheck, randomValues } from '@rass/testkit';
import {
  add,
  avgPool,
  concat,
  conv3d,
  depthwiseConv2d,
  grads,
  maxPool,
  mul,
  reshape,
  square,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor3D,
  type Tensor4D,
  type Tensor5D,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import { it } from 'vitest';
import { geglu, gelu, quickGelu, silu } from './activations.ts';
import { attention } from './attention.ts';
import { conv2d } from './conv2d.ts';
import { multiScaleDeformableAttention } from './deformable-attention.ts';
import { groupNorm, layerNorm } from './norm.ts';

interface Case {
  shapes: number[][];
  op: (...xs: Tensor[]) => Tensor;
}

const attends =
  (causal: boolean) =>
  (...[q, k, v]: Tensor[]): Tensor =>
    attention(q as Tensor3D, k as Tensor3D, v as Tensor3D, { heads: 2, causal });

const convolves =
  (stride: number, padding: number, dilation = 1) =>
  (...[x, w, b]: Tensor[]): Tensor =>
    conv2d(x as Tensor4D, w as Tensor4D, { bias: b as Tensor1D, stride, padding, dilation });

/** Points stay between the same pixels, 1 and 2 of four and 0 and 1 of two: their gradient has steps elsewhere. */
const samples = (...[value, locations, weights]: Tensor[]): Tensor =>
  multiScaleDeformableAttention(
    value as Tensor4D,
    [
      { rows: 4, columns: 2 },
      { rows: 2, columns: 2 },
    ],
    add(mul(locations, 0.1), 0.5) as Tensor5D,
    weights as Tensor4D,
  );

const norm = [[4], [4]];
const attended = [
  [1, 3, 4],
  [1, 3, 4],
  [1, 3, 4],
];
const convolved = [[1, 5, 4, 2], [3, 3, 2, 2], [2]];

const cases: Record<string, Case> = {
  silu: { shapes: [[3, 4]], op: silu },
  gelu: { shapes: [[3, 4]], op: gelu },
  quickGelu: { shapes: [[3, 4]], op: quickGelu },
  geglu: { shapes: [[3, 8]], op: geglu },
  groupNorm: {
    shapes: [[2, 3, 4], ...norm],
    op: (x, w, b) => groupNorm(x, w as Tensor1D, b as Tensor1D, { groups: 2 }),
  },
  'groupNorm with SiLU': {
    shapes: [[2, 3, 4], ...norm],
    op: (x, w, b) => groupNorm(x, w as Tensor1D, b as Tensor1D, { groups: 2, activation: 'silu' }),
  },
  layerNorm: { shapes: [[3, 4], ...norm], op: (x, w, b) => layerNorm(x, w as Tensor1D, b as Tensor1D) },
  attention: { shapes: attended, op: attends(false) },
  'causal attention': { shapes: attended, op: attends(true) },
  multiScaleDeformableAttention: {
    shapes: [
      [1, 12, 2, 3],
      [1, 2, 2, 4, 2],
      [1, 2, 2, 4],
    ],
    op: samples,
  },
  conv2d: { shapes: convolved, op: convolves(1, 1) },
  'conv2d with stride 2': { shapes: convolved, op: convolves(2, 1) },
  'conv2d with dilation 2': { shapes: convolved, op: convolves(1, 2, 2) },
  'conv3d of TensorFlow.js': {
    shapes: [
      [1, 3, 3, 3, 2],
      [2, 2, 2, 2, 1],
    ],
    op: (x, w) => conv3d(x as Tensor5D, w as Tensor5D, 1, 'same'),
  },
  'depthwiseConv2d of TensorFlow.js': {
    shapes: [
      [1, 4, 4, 2],
      [3, 3, 2, 2],
    ],
    op: (x, w) => depthwiseConv2d(x as Tensor4D, w as Tensor4D, 1, 'same'),
  },
  'maxPool of TensorFlow.js': { shapes: [[1, 4, 4, 2]], op: (x) => maxPool(x as Tensor4D, 2, 2, 'valid') },
  'avgPool of TensorFlow.js': { shapes: [[1, 4, 4, 2]], op: (x) => avgPool(x as Tensor4D, 3, 2, 'same') },
};

/** On a software GPU each probe takes long. */
const onWebGPU = ['silu', 'groupNorm', 'conv2d'];

/** The gradients of sum(op^2) by every input, in one row: their own gradients are the second derivatives. */
function gradientRow(op: Case['op'], xs: Tensor[]): Tensor {
  return tidy(() => {
    const slopes = grads((...inputs: Tensor[]) => sum(square(op(...inputs))))(xs);
    return concat(slopes.map((slope) => reshape(slope, [-1])));
  });
}

describeOnBackends('gradients of gradients of the ops', (backend) => {
  const names = Object.keys(cases).filter((name) => backend !== 'webgpu' || onWebGPU.includes(name));
  it.each(names)('%s: as finite differences of its gradients', async (name) => {
    const { shapes, op } = cases[name];
    const xs = shapes.map((shape, i) =>
      tensor(
        randomValues(
          shape.reduce((a, b) => a * b),
          { seed: 7 + i },
        ),
        shape,
      ),
    );
    const probes = backend === 'webgpu' ? 3 : 12;
    await gradientCheck((...inputs) => gradientRow(op, inputs), xs, { probes });
    for (const x of xs) x.dispose();
  });
});
