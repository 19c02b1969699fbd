import { type Conv2d, conv2d, type ParamSource } from '@rass/nn';
import { relu, type Tensor4D } from '@tensorflow/tfjs-core';

/** A convolution of a network, and whether its activated result is compared. */
export interface ConvolutionSpec {
  /** Where the checkpoint of the `lpips` package keeps it. */
  readonly path: string;
  readonly channels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  /** Pooled before it, by windows of so many rows and columns, two apart. */
  readonly pool?: number;
  readonly compared: boolean;
}

export type LpipsNet = 'alex' | 'vgg';

const alex = (
  path: string,
  channels: number,
  kernel: number,
  rest: Partial<ConvolutionSpec> = {},
): ConvolutionSpec => ({
  path: `net.${path}`,
  channels,
  kernel,
  stride: 1,
  padding: (kernel - 1) / 2,
  compared: true,
  ...rest,
});

/** VGG16's five groups of 3 x 3 convolutions; the last of each is compared. */
function vgg(): ConvolutionSpec[] {
  const groups: readonly (readonly [channels: number, layers: readonly number[]])[] = [
    [64, [0, 2]],
    [128, [5, 7]],
    [256, [10, 12, 14]],
    [512, [17, 19, 21]],
    [512, [24, 26, 28]],
  ];
  return groups.flatMap(([channels, layers], group) =>
    layers.map((layer, i) => ({
      path: `net.slice${group + 1}.${layer}`,
      channels,
      kernel: 3,
      stride: 1,
      padding: 1,
      ...(group > 0 && i === 0 && { pool: 2 }),
      compared: i === layers.length - 1,
    })),
  );
}

/** The convolutions of each network. @source torchvision AlexNet, VGG16; lpips pretrained_networks */
export const NETWORKS: Readonly<Record<LpipsNet, readonly ConvolutionSpec[]>> = {
  alex: [
    alex('slice1.0', 64, 11, { stride: 4, padding: 2 }),
    alex('slice2.3', 192, 5, { pool: 3 }),
    alex('slice3.6', 384, 3, { pool: 3 }),
    alex('slice4.8', 256, 3),
    alex('slice5.10', 256, 3),
  ],
  vgg: vgg(),
};

/** A network's convolutions, one after the other. */
export type Layers = readonly { readonly spec: ConvolutionSpec; readonly conv: Conv2d }[];

/** Asks the source for the convolutions of a network on colours, each at the path that `pathOf` gives. */
export function layerParams(
  from: ParamSource,
  specs: readonly ConvolutionSpec[],
  pathOf = (spec: ConvolutionSpec) => spec.path,
): Layers {
  let inputs = 3;
  return specs.map((spec) => {
    const { channels, kernel, stride, padding } = spec;
    const conv = from.at(pathOf(spec)).conv2d(inputs, channels, { kernel, stride, padding });
    inputs = channels;
    return { spec, conv };
  });
}

/** Channels of the results that are compared. */
export const comparedChannels = (specs: readonly ConvolutionSpec[]): number[] =>
  specs.filter((spec) => spec.compared).map((spec) => spec.channels);

/** The activated results that are compared; `pool` shrinks by windows of so many rows and columns. */
export function comparedResults(
  layers: Layers,
  image_BHWC: Tensor4D,
  pool: (x_BHWC: Tensor4D, window: number) => Tensor4D,
): Tensor4D[] {
  const compared: Tensor4D[] = [];
  let x = image_BHWC;
  for (const { spec, conv } of layers) {
    x = relu(conv2d(conv, spec.pool === undefined ? x : pool(x, spec.pool)));
    if (spec.compared) compared.push(x);
  }
  return compared;
}
