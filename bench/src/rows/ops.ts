import {
  attention,
  conv2d,
  geglu,
  groupNorm,
  layerNorm,
  linear,
  multiScaleDeformableAttention,
  silu,
  upsampleNearest,
} from '@rass/kernels';
import { randomValues } from '@rass/testkit/random';
import {
  add,
  concat,
  grad,
  grads,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  type Tensor5D,
  tensor,
  tidy,
} from '@tensorflow/tfjs-core';
import type { Row } from '../ours.ts';
import type { OpRow } from './op-list.ts';

const random = <T extends Tensor>(...shape: number[]): T =>
  tensor(randomValues(shape.reduce((a, b) => a * b, 1)), shape) as T;

const image = (size: number, channels: number): Tensor4D => random(1, size, size, channels);
const affine = (channels: number): [Tensor1D, Tensor1D] => [random(channels), random(channels)];

function convRow(row: Extract<OpRow, { op: 'conv' }>): () => Tensor {
  const { size, inputs, outputs, kernel, stride = 1 } = row;
  const x = image(size, inputs);
  const weight = random<Tensor4D>(kernel, kernel, inputs, outputs);
  const bias = random<Tensor1D>(outputs);
  return () => conv2d(x, weight, { bias, stride, padding: (kernel - 1) / 2 });
}

function convInputGradientRow(row: Extract<OpRow, { op: 'convInputGradient' }>): () => Tensor {
  const { size, inputs, outputs, kernel } = row;
  const weight = random<Tensor4D>(kernel, kernel, inputs, outputs);
  const x = image(size, inputs);
  const dy = image(size, outputs);
  const gradient = grad((x: Tensor) => conv2d(x as Tensor4D, weight, { padding: (kernel - 1) / 2 }));
  return () => gradient(x, dy);
}

function attentionInputs(row: { queries: number; keys: number; heads: number; headSize: number }): Tensor3D[] {
  const width = row.heads * row.headSize;
  return [row.queries, row.keys, row.keys].map((length) => random(1, length, width));
}

function attentionGradientsRow(row: Extract<OpRow, { op: 'attentionGradients' }>): () => Tensor[] {
  const inputs = attentionInputs(row);
  const dy = random<Tensor3D>(...inputs[0].shape);
  const run = (...[q, k, v]: Tensor[]) => attention(q as Tensor3D, k as Tensor3D, v as Tensor3D, { heads: row.heads });
  const gradients = grads(run);
  return () => gradients(inputs, dy);
}

function groupNormGradientsRow(row: Extract<OpRow, { op: 'groupNormSiluGradients' }>): () => Tensor[] {
  const x = image(row.size, row.channels);
  const [weight, bias] = affine(row.channels);
  const dy = image(row.size, row.channels);
  const run = (...[x, w, b]: Tensor[]) =>
    groupNorm(x, w as Tensor1D, b as Tensor1D, { groups: 32, activation: 'silu' });
  const gradients = grads(run);
  return () => gradients([x, weight, bias], dy);
}

function deformableRow(row: Extract<OpRow, { points: number }>): () => Tensor | Tensor[] {
  const levels = [32, 16, 8].map((stride) => ({ rows: row.size / stride, columns: row.size / stride }));
  const pixels = levels.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const samples = levels.length * row.points;
  const value = random<Tensor4D>(1, pixels, row.heads, row.headSize);
  // From 0 to 1: inside of the maps.
  const places = tensor(randomValues(pixels * row.heads * samples * 2, { low: 0, high: 1 }), [1, pixels, row.heads, samples, 2]); // biome-ignore format: one line
  const weights = random<Tensor4D>(1, pixels, row.heads, samples);
  const run = (...[v, l, w]: Tensor[]) =>
    multiScaleDeformableAttention(v as Tensor4D, levels, l as Tensor5D, w as Tensor4D);
  if (row.op === 'deformableAttention') return () => run(value, places, weights);
  const dy = random<Tensor3D>(1, pixels, row.heads * row.headSize);
  const gradients = grads(run);
  return () => gradients([value, places, weights], dy);
}

function forwardOf(row: OpRow): () => Tensor | Tensor[] {
  switch (row.op) {
    case 'conv':
      return convRow(row);
    case 'convInputGradient':
      return convInputGradientRow(row);
    case 'attentionGradients':
      return attentionGradientsRow(row);
    case 'groupNormSiluGradients':
      return groupNormGradientsRow(row);
    case 'deformableAttention':
    case 'deformableAttentionGradients':
      return deformableRow(row);
    case 'linear': {
      const [x, weight] = [random(row.rows, row.inputs), random<Tensor2D>(row.outputs, row.inputs)];
      const bias = random<Tensor1D>(row.outputs);
      return () => linear(x, weight, bias);
    }
    case 'attention': {
      const [q, k, v] = attentionInputs(row);
      return () => attention(q, k, v, { heads: row.heads });
    }
    case 'groupNormSilu': {
      const x = image(row.size, row.channels);
      const [weight, bias] = affine(row.channels);
      return () => groupNorm(x, weight, bias, { groups: 32, activation: 'silu' });
    }
    case 'upsample': {
      const x = image(row.size, row.channels);
      return () => upsampleNearest(x);
    }
    case 'concat': {
      const [x, y] = [image(row.size, row.channels), image(row.size, row.channels)];
      return () => concat([x, y], 3);
    }
    default:
      return elementwiseRow(row);
  }
}

function elementwiseRow(row: Extract<OpRow, { op: 'layerNorm' | 'silu' | 'geglu' | 'add' }>): () => Tensor {
  const x = random<Tensor3D>(1, row.rows, row.op === 'geglu' ? 2 * row.channels : row.channels);
  const [weight, bias] = affine(row.channels);
  switch (row.op) {
    case 'layerNorm':
      return () => layerNorm(x, weight, bias);
    case 'silu':
      return () => silu(x);
    case 'geglu':
      return () => geglu(x);
    case 'add':
      return () => add(x, x);
  }
}

/** What times an op. */
export function opRow(row: OpRow): Row {
  return () => {
    const forward = forwardOf(row);
    return () => [tidy(forward)].flat();
  };
}
