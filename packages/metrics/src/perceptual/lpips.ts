import { type Conv2d, conv2d, type ParamSource } from '@rass/nn';
import {
  add,
  div,
  maximum,
  maxPool,
  mean,
  reshape,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
  tensor1d,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkImagePair } from './image-pair.ts';
import {
  type ConvolutionSpec,
  comparedChannels,
  comparedResults,
  type Layers,
  type LpipsNet,
  layerParams,
  NETWORKS,
} from './networks.ts';

/** The parameters of LPIPS. */
export interface Lpips {
  readonly layers: Layers;
  /** How much each channel of the compared features counts, [1, 1, C, 1] each. */
  readonly weights: readonly Conv2d[];
}

/** Means and deviations of ImageNet's colours on a scale from -1 to 1. @source lpips ScalingLayer */
const SHIFT = [-0.03, -0.088, -0.188];
const SCALE = [0.458, 0.448, 0.45];
const EPSILON = 1e-10;

/** Asks the source for every layer by the path that the `lpips` package's own state dict has. @source lpips 0.1.4 */
export function lpipsParams(from: ParamSource, net: LpipsNet | readonly ConvolutionSpec[]): Lpips {
  const specs = typeof net === 'string' ? NETWORKS[net] : net;
  if (specs === undefined) throw new Error(`lpips: a network is alex or vgg; got "${net}"; choose one`);
  const layers = layerParams(from, specs);
  const weights = comparedChannels(specs).map((channels, i) =>
    from.at(`lin${i}.model.1`).conv2d(channels, 1, { kernel: 1, bias: false }),
  );
  return { layers, weights };
}

/** Features of unit length at each pixel. Where nothing is active they stay 0, with gradients of 0. */
function unitFeatures(x_BHWC: Tensor4D): Tensor4D {
  const length = sqrt(maximum(sum(square(x_BHWC), 3, true), EPSILON ** 2));
  return div(x_BHWC, add(length, EPSILON));
}

function features({ layers }: Lpips, image_BHWC: Tensor4D): Tensor4D[] {
  const scaled: Tensor4D = div(sub(image_BHWC, tensor1d(SHIFT)), tensor1d(SCALE));
  return comparedResults(layers, scaled, (x, window) => maxPool(x, window, 2, 'valid')).map(unitFeatures);
}

/** Learned perceptual distance of images, 0 for equal ones; differentiable by both.
 * @shape image, reference [B, H, W, 3] in [-1, 1] -> [B] @throws when the shapes differ
 * @source Zhang et al., arXiv 1801.03924; lpips 0.1.4 */
export function lpips(p: Lpips, image_BHWC: Tensor4D, reference_BHWC: Tensor4D): Tensor1D {
  checkImagePair('lpips', image_BHWC, reference_BHWC);
  return tidy(() => {
    const [ours, theirs] = [features(p, image_BHWC), features(p, reference_BHWC)];
    const terms = ours.map((feature, i): Tensor => {
      const weighted = conv2d(p.weights[i], square(sub(feature, theirs[i])));
      return mean(reshape(weighted, [image_BHWC.shape[0], -1]), 1);
    });
    return terms.reduce((a, b) => add(a, b)) as Tensor1D;
  });
}
