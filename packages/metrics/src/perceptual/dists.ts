import type { Parameter, ParamSource } from '@rass/nn';
import {
  add,
  depthwiseConv2d,
  div,
  mean,
  mul,
  reshape,
  split,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
  tensor1d,
  tensor4d,
  tidy,
} from '@tensorflow/tfjs-core';
import { checkImagePair } from './image-pair.ts';
import {
  type ConvolutionSpec,
  comparedChannels,
  comparedResults,
  type Layers,
  layerParams,
  NETWORKS,
} from './networks.ts';

/** The parameters of DISTS. */
export interface Dists {
  readonly layers: Layers;
  /** Channels of each compared level; the first is the image itself. */
  readonly channels: readonly number[];
  /** How much each channel's structure (alpha: means) and texture (beta: covariances) counts, [1, C, 1, 1] over all levels. */
  readonly alpha: Parameter<Tensor4D>;
  readonly beta: Parameter<Tensor4D>;
}

const MEAN = [0.485, 0.456, 0.406];
const DEVIATION = [0.229, 0.224, 0.225];
const EPSILON = 1e-6;

/** Asks the source for every layer by the path that the package `DISTS_pytorch` has in its state dict.
 * @source DISTS_pytorch 0.1 */
export function distsParams(from: ParamSource, specs: readonly ConvolutionSpec[] = NETWORKS.vgg): Dists {
  const layers = layerParams(from, specs, ({ path }) => path.replace('net.slice', 'stage'));
  const channels = [3, ...comparedChannels(specs)];
  const shape = [1, channels.reduce((a, b) => a + b), 1, 1];
  const init = { kind: 'constant', value: 0.1 } as const;
  return {
    layers,
    channels,
    alpha: from.at('alpha').parameter(shape, init),
    beta: from.at('beta').parameter(shape, init),
  };
}

/** Root of a weighted mean of squares, every second row and column: pooling without aliasing. The window is a Hann window of
 * five whose ends, which are 0, are left out. @source Henaff and Simoncelli, arXiv 1511.06394 */
function l2Pool(x_BHWC: Tensor4D): Tensor4D {
  const channels = x_BHWC.shape[3];
  const window = [1, 2, 1, 2, 4, 2, 1, 2, 1].flatMap((weight) => new Array<number>(channels).fill(weight / 16));
  const pooled = depthwiseConv2d(square(x_BHWC), tensor4d(window, [3, 3, channels, 1]), 2, [
    [0, 0],
    [1, 1],
    [1, 1],
    [0, 0],
  ]);
  return sqrt(add(pooled, 1e-12));
}

/** The image from 0 to 1, then VGG16's last activations at each of five scales. */
function features({ layers }: Dists, image_BHWC: Tensor4D): Tensor4D[] {
  const image: Tensor4D = div(add(image_BHWC, 1), 2);
  const scaled: Tensor4D = div(sub(image, tensor1d(MEAN)), tensor1d(DEVIATION));
  return [image, ...comparedResults(layers, scaled, l2Pool)];
}

/** Similarity of a level's channels over the whole image. @shape [B, H, W, C] -> [B, C] each */
function similarity(x_BHWC: Tensor4D, y_BHWC: Tensor4D): { structure: Tensor; texture: Tensor } {
  const [xMean, yMean] = [mean(x_BHWC, [1, 2], true), mean(y_BHWC, [1, 2], true)];
  const [x, y] = [sub(x_BHWC, xMean), sub(y_BHWC, yMean)];
  const overPlaces = (values: Tensor): Tensor => mean(values, [1, 2]);
  const ratio = (product: Tensor, squares: Tensor): Tensor => div(add(mul(product, 2), EPSILON), add(squares, EPSILON));
  const shape = [x_BHWC.shape[0], x_BHWC.shape[3]];
  return {
    structure: reshape(ratio(mul(xMean, yMean), add(square(xMean), square(yMean))), shape),
    texture: ratio(overPlaces(mul(x, y)), add(overPlaces(square(x)), overPlaces(square(y)))),
  };
}

/** Deep image structure and texture similarity as a distance, 0 for equal images; differentiable by both.
 * @shape image, reference [B, H, W, 3] in [-1, 1] -> [B] @throws when the shapes differ
 * @source Ding et al., arXiv 2004.07728; DISTS_pytorch 0.1, which takes images from 0 to 1 */
export function dists(p: Dists, image_BHWC: Tensor4D, reference_BHWC: Tensor4D): Tensor1D {
  checkImagePair('dists', image_BHWC, reference_BHWC);
  return tidy(() => {
    const [ours, theirs] = [features(p, image_BHWC), features(p, reference_BHWC)];
    const total = add(sum(p.alpha.value), sum(p.beta.value));
    const shares = (weights: Parameter<Tensor4D>): Tensor[] =>
      split(reshape(div(weights.value, total), [-1]), [...p.channels]);
    const [alpha, beta] = [shares(p.alpha), shares(p.beta)];
    const terms = ours.map((feature, i) => {
      const { structure, texture } = similarity(feature, theirs[i]);
      return sum(add(mul(structure, alpha[i]), mul(texture, beta[i])), 1);
    });
    return sub(
      1,
      terms.reduce((a, b) => add(a, b)),
    ) as Tensor1D;
  });
}
