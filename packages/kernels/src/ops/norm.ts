import {
  add,
  customGrad,
  mean,
  mul,
  reshape,
  rsqrt,
  sigmoid,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  tidy,
  tile,
} from '@tensorflow/tfjs-core';
import { runFusedGradient, runFusedKernel } from './fused-kernel.ts';

type Save = (tensors: Tensor[]) => void;

export interface GroupNormOptions {
  groups: number;
  /** Added to the variance; default 1e-5. */
  epsilon?: number;
  /** Applied to the result in the same pass where the backend can. */
  activation?: 'silu';
}

/** The mean over the spatial axis and over each group's channels, spread back over the channels.
 * @shape [B, S, C] -> [B, 1, C] */
function groupMean(x_BSC: Tensor, groups: number): Tensor {
  const [batch, , channels] = x_BSC.shape;
  const width = channels / groups;
  const byGroup = mean(reshape(mean(x_BSC, 1), [batch, groups, width]), 2, true);
  return reshape(tile(byGroup, [1, 1, width]), [batch, 1, channels]);
}

function statistics(x_BSC: Tensor, groups: number, epsilon: number): { centre: Tensor; inverseDeviation: Tensor } {
  const centre = groupMean(x_BSC, groups);
  // Two passes: E[x^2] - E[x]^2 cancels badly in float32.
  const variance = groupMean(square(sub(x_BSC, centre)), groups);
  return { centre, inverseDeviation: rsqrt(add(variance, epsilon)) };
}

function groupNormForward(
  x_BSC: Tensor,
  weight: Tensor,
  bias: Tensor,
  o: Required<Omit<GroupNormOptions, 'activation'>>,
  silu: boolean,
): Tensor {
  const { centre, inverseDeviation } = statistics(x_BSC, o.groups, o.epsilon);
  const y = add(mul(sub(x_BSC, centre), mul(inverseDeviation, weight)), bias);
  return silu ? mul(y, sigmoid(y)) : y;
}

function groupNormBackward(
  x_BSC: Tensor,
  weight: Tensor,
  bias: Tensor,
  dy: Tensor,
  o: Required<Omit<GroupNormOptions, 'activation'>>,
  silu: boolean,
): Tensor[] {
  const { centre, inverseDeviation } = statistics(x_BSC, o.groups, o.epsilon);
  const normal = mul(sub(x_BSC, centre), inverseDeviation);
  let dz = dy;
  if (silu) {
    const z = add(mul(normal, weight), bias);
    const s = sigmoid(z);
    dz = mul(dy, mul(s, add(1, mul(z, sub(1, s)))));
  }
  const dNormal = mul(dz, weight);
  const inner = sub(sub(dNormal, groupMean(dNormal, o.groups)), mul(normal, groupMean(mul(dNormal, normal), o.groups)));
  return [mul(inverseDeviation, inner), sum(mul(dz, normal), [0, 1]), sum(dz, [0, 1])];
}

const isPerChannel = ({ rank, shape }: Tensor, channels: number): boolean => rank === 1 && shape[0] === channels;

/** Group normalisation over channels-last features, with an affine map per channel and an optional SiLU after it.
 * @shape x [B, ..., C] (any number of spatial axes), weight [C], bias [C] -> same as x
 * @throws when the channels do not divide into the groups, or match the weight and the bias @source torch.nn.functional.group_norm */
export function groupNorm<T extends Tensor>(x: T, weight: Tensor1D, bias: Tensor1D, options: GroupNormOptions): T {
  const { groups, epsilon = 1e-5, activation } = options;
  const channels = x.shape[x.rank - 1];
  if (channels % groups !== 0 || !isPerChannel(weight, channels) || !isPerChannel(bias, channels)) {
    throw new Error(
      `groupNorm: channels divide into the groups and match the weight and the bias; got x [${x.shape}], weight [${weight.shape}], bias [${bias.shape}], groups ${groups}; check the layer's sizes`,
    );
  }
  const silu = activation === 'silu';
  const flat = [x.shape[0], -1, channels];
  const op = customGrad((...args) => {
    const [input, gamma, beta, save] = args as unknown as [Tensor, Tensor, Tensor, Save];
    const attrs = { groups, epsilon, silu };
    const value =
      runFusedKernel('RassGroupNorm', { x: input, weight: gamma, bias: beta }, attrs)?.[0] ??
      tidy(() => reshape(groupNormForward(reshape(input, flat), gamma, beta, { groups, epsilon }, silu), input.shape));
    // Last: what was saved of an op that failed is never freed.
    save([input, gamma, beta]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] =>
      runFusedGradient('RassGroupNormGrad', { x: saved[0], weight: saved[1], bias: saved[2], dy }, attrs) ??
      (tidy(() => {
        const [dx, ...rest] = groupNormBackward(
          reshape(saved[0], flat),
          saved[1],
          saved[2],
          reshape(dy, flat),
          { groups, epsilon },
          silu,
        );
        return [reshape(dx, dy.shape), ...rest];
      }) as Tensor[]);
    return { value, gradFunc };
  });
  return op(x, weight, bias) as T;
}

function layerNormBackward(x: Tensor, weight: Tensor, dy: Tensor, epsilon: number): Tensor[] {
  const centred = sub(x, mean(x, -1, true));
  const inverseDeviation = rsqrt(add(mean(square(centred), -1, true), epsilon));
  const normal = mul(centred, inverseDeviation);
  const dNormal = mul(dy, weight);
  const inner = sub(sub(dNormal, mean(dNormal, -1, true)), mul(normal, mean(mul(dNormal, normal), -1, true)));
  const others = Array.from({ length: x.rank - 1 }, (_, axis) => axis);
  return [mul(inverseDeviation, inner), sum(mul(dy, normal), others), sum(dy, others)];
}

/** Layer normalisation over the last axis with an affine map. @shape x [..., C], weight [C], bias [C] -> same as x
 * @throws when the widths differ @source torch.nn.functional.layer_norm */
export function layerNorm<T extends Tensor>(x: T, weight: Tensor1D, bias: Tensor1D, epsilon = 1e-5): T {
  const channels = x.shape[x.rank - 1];
  if (!isPerChannel(weight, channels) || !isPerChannel(bias, channels)) {
    throw new Error(
      `layerNorm: the last axis matches the weight and the bias; got x [${x.shape}], weight [${weight.shape}], bias [${bias.shape}]; check the layer's sizes`,
    );
  }
  const op = customGrad((...args) => {
    const [input, gamma, beta, save] = args as unknown as [Tensor, Tensor, Tensor, Save];
    const value =
      runFusedKernel('RassLayerNorm', { x: input, weight: gamma, bias: beta }, { epsilon })?.[0] ??
      tidy(() => {
        const centred = sub(input, mean(input, -1, true));
        const inverseDeviation = rsqrt(add(mean(square(centred), -1, true), epsilon));
        return add(mul(mul(centred, inverseDeviation), gamma), beta);
      });
    save([input, gamma]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] =>
      runFusedGradient('RassLayerNormGrad', { x: saved[0], weight: saved[1], dy }, { epsilon }) ??
      (tidy(() => layerNormBackward(saved[0], saved[1], dy, epsilon)) as Tensor[]);
    return { value, gradFunc };
  });
  return op(x, weight, bias) as T;
}
