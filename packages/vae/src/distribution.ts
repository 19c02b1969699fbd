import { normalNoise } from '@rass/nn';
import {
  add,
  clipByValue,
  div,
  exp,
  mul,
  type Scalar,
  split,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';

/** What the encoder says of an image: independent normal distributions, one per latent value. Its mode is the mean. */
export type LatentDistribution = {
  /** [B, h, w, latent channels] */
  readonly mean: Tensor4D;
  /** [B, h, w, latent channels], in [-30, 20] */
  readonly logVariance: Tensor4D;
};

/** Where exp stays finite and above zero. @source diffusers DiagonalGaussianDistribution */
const LOG_VARIANCE_RANGE = [-30, 20] as const;

/** @shape moments [B, h, w, 2 C]: the means, then the log variances */
export function distributionOf(moments_BhwC: Tensor4D): LatentDistribution {
  return tidy(() => {
    const [mean, logVariance]: Tensor4D[] = split(moments_BhwC, 2, 3);
    return { mean, logVariance: clipByValue(logVariance, ...LOG_VARIANCE_RANGE) };
  });
}

export type LatentNoise =
  /** Standard normal values; the same for the same seed on every backend, but not PyTorch's. */
  | { readonly seed: number }
  /** Your own standard normal values. [B, h, w, C] */
  | { readonly noise: Tensor4D };

/** A draw: mean + deviation * noise, differentiable by both parameters. @shape [B, h, w, C]
 * @throws when the noise has another shape, or the seed is no whole number @source diffusers DiagonalGaussianDistribution.sample */
export function sampleLatents({ mean, logVariance }: LatentDistribution, from: LatentNoise): Tensor4D {
  if (!('noise' in from || 'seed' in from)) {
    throw new Error('sampleLatents: a draw takes { seed } or { noise }; got neither; give one, such as { seed: 0 }');
  }
  if ('noise' in from && `${from.noise.shape}` !== `${mean.shape}`) {
    throw new Error(
      `sampleLatents: the noise has the latents' shape; got noise [${from.noise.shape}], latents [${mean.shape}]; draw one value for each`,
    );
  }
  return tidy(() => {
    const noise = 'noise' in from ? from.noise : normalNoise(mean.shape, from.seed);
    return add(mean, mul(exp(mul(logVariance, 0.5)), noise));
  });
}

const perSample = (x: Tensor): Tensor1D => sum(x, [1, 2, 3]);

/** Kullback-Leibler divergence from `other`, by default from the standard normal distribution, summed over a sample's
 * values. @shape [B] @source diffusers DiagonalGaussianDistribution.kl */
export function klDivergence(of: LatentDistribution, other?: LatentDistribution): Tensor1D {
  const { mean, logVariance } = of;
  return tidy(() => {
    if (other === undefined) {
      return perSample(mul(0.5, sub(sub(add(square(mean), exp(logVariance)), 1), logVariance)));
    }
    const variance = exp(other.logVariance);
    const distance = div(add(square(sub(mean, other.mean)), exp(logVariance)), variance);
    return perSample(mul(0.5, add(sub(sub(distance, 1), logVariance), other.logVariance)));
  });
}

/** How unlikely the latents are: -log p, summed over a sample's values.
 * @shape latents [B, h, w, C] -> [B] @source diffusers DiagonalGaussianDistribution.nll */
export function negativeLogLikelihood({ mean, logVariance }: LatentDistribution, latents_BhwC: Tensor4D): Tensor1D {
  return tidy(() => {
    const distance = div(square(sub(latents_BhwC, mean)), exp(logVariance));
    return perSample(mul(0.5, add(add(logVariance, distance) as Tensor, Math.log(2 * Math.PI) as unknown as Scalar)));
  });
}
