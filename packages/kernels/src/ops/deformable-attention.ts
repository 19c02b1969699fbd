import {
  customGrad,
  reshape,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  type Tensor5D,
  tensor2d,
  tidy,
} from '@tensorflow/tfjs-core';
import {
  composedDeformableAttention,
  composedDeformableGradients,
  type FeatureLevel,
  type Samples,
} from './deformable-attention-composed.ts';
import { runFusedGradient, runFusedKernel } from './fused-kernel.ts';

export type { FeatureLevel } from './deformable-attention-composed.ts';

type Save = (tensors: Tensor[]) => void;

function check(value: Tensor4D, levels: readonly FeatureLevel[], locations: Tensor5D, weights: Tensor4D): void {
  const pixels = levels.reduce((total, { rows, columns }) => total + rows * columns, 0);
  const [B, S, N] = value.shape;
  const [, L, , P] = weights.shape;
  const fits =
    levels.length > 0 &&
    S === pixels &&
    P % levels.length === 0 &&
    weights.shape[0] === B &&
    weights.shape[2] === N &&
    `${locations.shape}` === `${[B, L, N, P, 2]}`;
  if (fits) return;
  throw new Error(
    `multiScaleDeformableAttention: value [B, S, N, K], S the pixels of all levels, locations [B, L, N, P, 2], weights [B, L, N, P], ` +
      `P a multiple of the levels; got value [${value.shape}], levels ${levels.map(({ rows, columns }) => `${rows}x${columns}`).join(', ')}, ` +
      `locations [${locations.shape}], weights [${weights.shape}]; check the levels' order and the projections`,
  );
}

function samplesOf(value: Tensor, levels: readonly FeatureLevel[], locations: Tensor, weights: Tensor): Samples {
  const [B, S, N, K] = value.shape;
  const [, L, , P] = weights.shape;
  return {
    value: reshape(value, [B * S * N, K]) as Tensor2D,
    levels,
    locations: reshape(locations, [B * L * N, P, 2]) as Tensor3D,
    weights: reshape(weights, [B * L * N, P]) as Tensor2D,
    batchStride: S * N,
    heads: N,
    queries: L,
  };
}

/** The levels' rows and columns, for kernels. @shape [G, 2] */
const levelSizes = (levels: readonly FeatureLevel[]): Tensor2D =>
  tensor2d(levels.map(({ rows, columns }) => [rows, columns]));

/** Each query and head samples P points of the value's maps, bilinearly, and sums them by their weights. Points are grouped by level; a
 * pixel's centre is at (i + 0.5) / size, and outside of a map is 0.
 * @shape value [B, S, N, K], S = all levels' pixels, locations [B, L, N, P, 2] (x, y), weights [B, L, N, P] -> [B, L, N K]
 * @throws when shapes do not fit @source Deformable DETR, arXiv 2010.04159; transformers multi_scale_deformable_attention */
export function multiScaleDeformableAttention(
  value_BSNK: Tensor4D,
  levels: readonly FeatureLevel[],
  locations_BLNP2: Tensor5D,
  weights_BLNP: Tensor4D,
): Tensor3D {
  check(value_BSNK, levels, locations_BLNP2, weights_BLNP);
  const [B, , N, K] = value_BSNK.shape;
  const L = weights_BLNP.shape[1];
  const run = (inputs: Record<string, Tensor>, name: string, kernel: typeof runFusedKernel): Tensor[] | undefined =>
    kernel(name, { ...inputs, sizes: levelSizes(levels) }, {});
  const op = customGrad((...args) => {
    const [value, locations, weights, save] = args as unknown as [Tensor, Tensor, Tensor, Save];
    const out = tidy(
      () =>
        run({ value, locations, weights }, 'RassDeformableAttention', runFusedKernel)?.[0] ??
        reshape(composedDeformableAttention(samplesOf(value, levels, locations, weights)), [B, L, N * K]),
    );
    // Last: what was saved of an op that failed is never freed.
    save([value, locations, weights]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] =>
      tidy(() => {
        const [v, l, w] = saved;
        const inputs = { value: v, locations: l, weights: w, dy };
        const fused = run(inputs, 'RassDeformableAttentionGrad', runFusedGradient);
        if (fused !== undefined) return fused;
        const all = composedDeformableGradients(samplesOf(v, levels, l, w), reshape(dy, [B * L * N, K]) as Tensor2D);
        return all.map((gradient, i) => reshape(gradient, saved[i].shape));
      });
    return { value: out, gradFunc };
  });
  return op(value_BSNK, locations_BLNP2, weights_BLNP) as Tensor3D;
}
