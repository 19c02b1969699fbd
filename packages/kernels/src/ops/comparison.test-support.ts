import { randomValues } from '@rass/testkit/random';
import {
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
import { geglu, gelu, quickGelu, silu } from './activations.ts';
import { attention } from './attention.ts';
import { conv2d } from './conv2d.ts';
import { multiScaleDeformableAttention } from './deformable-attention.ts';
import { linear } from './linear.ts';
import { groupNorm, layerNorm } from './norm.ts';

/** A function of tensors, at sizes chosen to fill vectors, tiles and blocks exactly, and not. */
export interface Case {
  name: string;
  shapes: number[][];
  run: (inputs: Tensor[]) => Tensor;
}

const unary = (name: string, f: (x: Tensor) => Tensor): Case[] =>
  [[3], [5, 7], [37, 1024]].map((shape) => ({ name: `${name} [${shape}]`, shapes: [shape], run: ([x]) => f(x) }));

function groupNormCase(shape: number[], groups: number, activation?: 'silu'): Case {
  const C = shape[shape.length - 1];
  return {
    name: `groupNorm [${shape}] in ${groups} groups${activation ? ' with silu' : ''}`,
    shapes: [shape, [C], [C]],
    run: ([x, w, b]) => groupNorm(x, w as Tensor1D, b as Tensor1D, { groups, activation, epsilon: 1e-5 }),
  };
}

const layerNormCase = (shape: number[]): Case => ({
  name: `layerNorm [${shape}]`,
  shapes: [shape, shape.slice(-1), shape.slice(-1)],
  run: ([x, w, b]) => layerNorm(x, w as Tensor1D, b as Tensor1D),
});

function attentionCase(B: number, L: number, S: number, heads: number, size: number, causal = false): Case {
  const C = heads * size;
  return {
    name: `attention of ${B} x ${L} queries and ${S} keys, ${heads} heads of ${size}${causal ? ', causal' : ''}`,
    shapes: [[B, L, C], [B, S, C], [B, S, C]], // biome-ignore format: one line
    run: ([q, k, v]) => attention(q as Tensor3D, k as Tensor3D, v as Tensor3D, { heads, causal }),
  };
}

/** Locations reach from -2 to 3: some points are outside. */
function deformableCase(B: number, L: number, N: number, K: number, P: number, ...levels: [number, number][]): Case {
  const S = levels.reduce((pixels, [rows, columns]) => pixels + rows * columns, 0);
  return {
    name: `deformable attention of ${B} x ${L} queries, ${N} heads of ${K}, ${P} points of ${levels.length} levels`,
    shapes: [[B, S, N, K], [B, L, N, P, 2], [B, L, N, P]], // biome-ignore format: one line
    run: ([value, places, weights]) =>
      multiScaleDeformableAttention(value as Tensor4D, levels.map(([rows, columns]) => ({ rows, columns })), places as Tensor5D, weights as Tensor4D), // biome-ignore format: one line
  };
}

const linearCase = (shape: number[], outputs: number, bias = true): Case => ({
  name: `linear of [${shape}] to ${outputs}${bias ? '' : ', no bias'}`,
  shapes: [shape, [outputs, shape[shape.length - 1]], ...(bias ? [[outputs]] : [])],
  run: ([x, w, b]) => linear(x, w as Tensor2D, b as Tensor1D | undefined),
});

function convolutionCase(B: number, H: number, W: number, inputs: number, outputs: number, bias = true): Case {
  return {
    name: `conv2d of [${[B, H, W, inputs]}] to ${outputs} channels${bias ? '' : ', no bias'}`,
    shapes: [[B, H, W, inputs], [3, 3, inputs, outputs], ...(bias ? [[outputs]] : [])],
    run: ([x, w, b]) => conv2d(x as Tensor4D, w as Tensor4D, { bias: b as Tensor1D | undefined, padding: 1 }),
  };
}

export const cases: readonly Case[] = [
  ...unary('silu', silu),
  ...unary('gelu', gelu),
  ...unary('quickGelu', quickGelu),
  ...[[2, 6], [3, 5, 22], [40, 2560]].map((shape) => ({ name: `geglu [${shape}]`, shapes: [shape], run: ([x]: Tensor[]) => geglu(x) })), // biome-ignore format: one line
  groupNormCase([2, 5, 7, 12], 3),
  groupNormCase([2, 5, 7, 12], 3, 'silu'),
  groupNormCase([1, 33, 40], 8, 'silu'),
  groupNormCase([1, 64, 64, 64], 32, 'silu'),
  layerNormCase([3, 5, 7]),
  layerNormCase([300, 320]),
  attentionCase(1, 1, 1, 1, 1),
  attentionCase(2, 7, 5, 2, 4),
  attentionCase(2, 97, 200, 3, 8),
  attentionCase(1, 96, 192, 2, 32),
  attentionCase(1, 77, 77, 4, 64, true),
  attentionCase(2, 300, 300, 2, 40, true),
  attentionCase(1, 64, 77, 5, 64),
  attentionCase(1, 200, 300, 1, 160),
  deformableCase(1, 1, 1, 1, 1, [1, 1]),
  deformableCase(2, 37, 3, 32, 6, [5, 9], [3, 4], [2, 2]),
  deformableCase(1, 300, 8, 32, 12, [16, 16], [8, 8], [4, 4]),
  deformableCase(3, 11, 2, 21, 3, [7, 3]),
  convolutionCase(1, 1, 1, 16, 16),
  convolutionCase(2, 5, 7, 33, 45),
  convolutionCase(2, 6, 3, 16, 40, false),
  convolutionCase(1, 40, 41, 32, 24),
  convolutionCase(1, 8, 8, 320, 96),
  convolutionCase(1, 20, 20, 256, 64),
  linearCase([5, 12], 7),
  linearCase([2, 77, 64], 36),
  linearCase([600, 32], 260, false),
];

/** What a comparison leaves out. */
export interface CompareOptions {
  /** Whether gradients are compared, too: of a sum in which every output has another weight; default true. */
  readonly gradients?: boolean;
}

/** A case's value and its gradients. */
function resultsOf({ shapes, run }: Case, { gradients = true }: CompareOptions): Tensor[] {
  const inputs = shapes.map((shape, i) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return tensor(randomValues(size, { seed: i + 1, low: -2, high: 3 }), shape);
  });
  const value = tidy(() => run(inputs));
  if (!gradients) return [value];
  const weights = tensor(randomValues(value.size, { seed: 9 }), value.shape);
  return [value, ...grads((...x: Tensor[]) => run(x))(inputs, weights)];
}

/** Largest difference of value and gradients between fused kernels and composed ones, as a share of the largest value.
 * NaN where either has one. */
export async function compare(
  one: Case,
  setFused: (isFused: boolean) => void,
  options: CompareOptions = {},
): Promise<number[]> {
  const fused = tidy(() => resultsOf(one, options));
  setFused(false);
  const composed = tidy(() => resultsOf(one, options));
  setFused(true);
  const shares: number[] = [];
  for (let i = 0; i < fused.length; i++) {
    const [a, e] = [await fused[i].data(), await composed[i].data()];
    let [largest, scale] = [0, 1e-12];
    for (let j = 0; j < e.length; j++) {
      scale = Math.max(scale, Math.abs(e[j]));
      largest = Math.max(largest, Math.abs(a[j] - e[j]));
    }
    shares.push(largest / scale);
  }
  for (const t of [...fused, ...composed]) t.dispose();
  return shares;
}
