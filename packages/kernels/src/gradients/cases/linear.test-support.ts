import {
  avgPool,
  avgPool3d,
  batchNorm,
  conv2d,
  conv2dTranspose,
  conv3d,
  conv3dTranspose,
  depthwiseConv2d,
  einsum,
  fused,
  image,
  localResponseNormalization,
  matMul,
  maxPool,
  maxPool3d,
  separableConv2d,
  type Tensor,
  type Tensor1D,
  type Tensor3D,
  type Tensor4D,
  type Tensor5D,
} from '@tensorflow/tfjs-core';
import { distinct, type GradientCase, uniform } from './case.test-support.ts';

function product(a: number[], b: number[], transposeA = false, transposeB = false): GradientCase {
  return {
    name: `BatchMatMul [${a}]${transposeA ? "'" : ''} [${b}]${transposeB ? "'" : ''}`,
    covers: ['BatchMatMul'],
    inputs: [uniform(a), uniform(b, { seed: 2 })],
    f: (x, y) => matMul(x, y, transposeA, transposeB),
  };
}

function sumOfProducts(equation: string, ...shapes: number[][]): GradientCase {
  return {
    name: `Einsum ${equation}`,
    covers: ['Einsum'],
    inputs: shapes.map((shape, i) => uniform(shape, { seed: i + 1 })),
    f: (...xs) => einsum(equation, ...xs),
  };
}

const matrixCases: GradientCase[] = [
  product([3, 4], [4, 2]),
  product([4, 3], [4, 2], true),
  product([3, 4], [2, 4], false, true),
  product([4, 3], [2, 4], true, true),
  product([2, 3, 4], [2, 4, 2]),
  product([2, 4, 3], [2, 2, 4], true, true),
  product([2, 3, 4], [4, 2]),
  product([2, 3, 4], [2, 4], false, true),
  product([2, 4, 3], [4, 2], true),
  product([3, 4], [2, 4, 2]),
  product([2, 1, 3, 4], [2, 3, 4, 2]),
  product([2, 1, 3, 4], [1, 3, 4, 2]),
  sumOfProducts('ij,jk->ik', [2, 3], [3, 4]),
  sumOfProducts('bnlk,bntk->bnlt', [2, 2, 3, 2], [2, 2, 4, 2]),
  sumOfProducts('bij,bjk->kbi', [2, 3, 2], [2, 2, 3]),
  sumOfProducts('ij,jk->k', [2, 3], [3, 2]),
  sumOfProducts('ij->ji', [2, 3]),
  sumOfProducts('ijk->ik', [2, 3, 2]),
  sumOfProducts('i,j->ij', [2], [3]),
  sumOfProducts('ij,ij->', [2, 3], [2, 3]),
  {
    name: 'fused.matMul',
    covers: ['BatchMatMul'],
    inputs: [uniform([3, 4]), uniform([4, 2], { seed: 2 }), uniform([2], { seed: 3 })],
    f: (a, b, bias) => fused.matMul({ a, b, bias }),
  },
  {
    name: 'fused.matMul with an activation',
    covers: ['BatchMatMul'],
    inputs: [uniform([3, 4]), uniform([4, 2], { seed: 2 }), uniform([2], { seed: 3 })],
    f: (a, b, bias) => fused.matMul({ a, b, bias, activation: 'sigmoid' }),
  },
];

type Padding = 'same' | 'valid' | [[number, number], [number, number], [number, number], [number, number]];

const uneven: Padding = [
  [0, 0],
  [0, 1],
  [2, 1],
  [0, 0],
];

interface ConvolutionCase {
  x?: number[];
  filter?: number[];
  strides?: number | [number, number];
  padding?: Padding;
  dilations?: number | [number, number];
}

function convolution({
  x = [2, 5, 6, 2],
  filter = [3, 3, 2, 3],
  strides = 1,
  padding = 'same',
  dilations = 1,
}: ConvolutionCase): GradientCase {
  return {
    name: `Conv2D [${x}] [${filter}] stride ${strides} ${padding} dilation ${dilations}`,
    covers: ['Conv2D'],
    inputs: [uniform(x), uniform(filter, { seed: 2 })],
    f: (a, w) => conv2d(a as Tensor4D, w as Tensor4D, strides, padding, 'NHWC', dilations),
  };
}

function transposed(
  strides: number,
  padding: 'same' | 'valid',
  output: [number, number, number, number],
): GradientCase {
  return {
    name: `Conv2DBackpropInput stride ${strides} ${padding}`,
    covers: ['Conv2DBackpropInput'],
    inputs: [uniform([2, 3, 3, 2]), uniform([3, 3, 3, 2], { seed: 2 })],
    f: (x, w) => conv2dTranspose(x as Tensor4D, w as Tensor4D, output, strides, padding),
  };
}

interface DepthwiseCase extends ConvolutionCase {
  multiplier?: number;
}

function depthwise({ strides = 1, padding = 'same', dilations = 1, multiplier = 1 }: DepthwiseCase): GradientCase {
  return {
    name: `DepthwiseConv2dNative stride ${strides} ${padding} dilation ${dilations} multiplier ${multiplier}`,
    covers: ['DepthwiseConv2dNative'],
    inputs: [uniform([2, 5, 6, 2]), uniform([3, 2, 2, multiplier], { seed: 2 })],
    f: (x, w) => depthwiseConv2d(x as Tensor4D, w as Tensor4D, strides, padding, 'NHWC', dilations),
  };
}

function convolution3d(strides: number, padding: 'same' | 'valid'): GradientCase {
  return {
    name: `Conv3D stride ${strides} ${padding}`,
    covers: ['Conv3D'],
    inputs: [uniform([1, 3, 4, 4, 2]), uniform([2, 3, 2, 2, 2], { seed: 2 })],
    f: (x, w) => conv3d(x as Tensor5D, w as Tensor5D, strides, padding),
  };
}

const convolutionCases: GradientCase[] = [
  convolution({}),
  convolution({ padding: 'valid' }),
  convolution({ strides: 2 }),
  convolution({ strides: [2, 3], padding: 'valid' }),
  convolution({ x: [1, 7, 8, 2], strides: 2, padding: 'valid' }),
  convolution({ dilations: 2 }),
  convolution({ dilations: [1, 2], padding: 'valid' }),
  convolution({ padding: uneven }),
  convolution({ padding: uneven, strides: 2 }),
  convolution({ padding: uneven, dilations: 2 }),
  convolution({ filter: [1, 1, 2, 3] }),
  convolution({ filter: [1, 1, 2, 3], strides: 2 }),
  convolution({ filter: [2, 4, 2, 3] }),
  transposed(1, 'same', [2, 3, 3, 3]),
  transposed(2, 'same', [2, 6, 5, 3]),
  transposed(2, 'valid', [2, 7, 8, 3]),
  {
    name: 'fused.conv2d',
    covers: ['Conv2D'],
    inputs: [uniform([1, 4, 4, 2]), uniform([3, 3, 2, 2], { seed: 2 }), uniform([2], { seed: 3 })],
    f: (x, filter, bias) =>
      fused.conv2d({
        x: x as Tensor4D,
        filter: filter as Tensor4D,
        bias,
        strides: 1,
        pad: 'same',
        activation: 'linear',
      }),
  },
  {
    name: 'fused.conv2d with an activation',
    covers: ['Conv2D'],
    inputs: [uniform([1, 4, 4, 2]), uniform([3, 3, 2, 2], { seed: 2 }), uniform([2], { seed: 3 })],
    f: (x, filter, bias) =>
      fused.conv2d({
        x: x as Tensor4D,
        filter: filter as Tensor4D,
        bias,
        strides: 2,
        pad: 'same',
        activation: 'sigmoid',
      }),
  },
  depthwise({}),
  depthwise({ multiplier: 2 }),
  depthwise({ strides: 2, padding: 'valid', multiplier: 2 }),
  depthwise({ dilations: 2 }),
  depthwise({ dilations: 2, padding: 'valid', multiplier: 2 }),
  depthwise({ padding: uneven }),
  {
    name: 'separableConv2d',
    covers: ['DepthwiseConv2dNative', 'Conv2D'],
    inputs: [uniform([1, 4, 4, 2]), uniform([3, 3, 2, 1], { seed: 2 }), uniform([1, 1, 2, 3], { seed: 3 })],
    f: (x, w, point) => separableConv2d(x as Tensor4D, w as Tensor4D, point as Tensor4D, 1, 'same'),
  },
  convolution3d(1, 'same'),
  convolution3d(2, 'same'),
  convolution3d(1, 'valid'),
  {
    name: 'Conv3DBackpropInputV2',
    covers: ['Conv3DBackpropInputV2'],
    inputs: [uniform([1, 2, 2, 2, 2]), uniform([2, 2, 2, 1, 2], { seed: 2 })],
    f: (x, w) => conv3dTranspose(x as Tensor5D, w as Tensor5D, [1, 4, 4, 3, 1], 2, 'same'),
  },
];

const poolingCases: GradientCase[] = [
  ...(['same', 'valid'] as const).flatMap((padding): GradientCase[] => [
    {
      name: `AvgPool 3 by 2 ${padding}`,
      covers: ['AvgPool'],
      inputs: [uniform([2, 5, 6, 2])],
      f: (x) => avgPool(x as Tensor4D, 3, 2, padding),
    },
    {
      name: `AvgPool 2 by 2 ${padding}`,
      covers: ['AvgPool'],
      inputs: [uniform([1, 5, 4, 2])],
      f: (x) => avgPool(x as Tensor4D, 2, 2, padding),
    },
    {
      name: `AvgPool 3 by 1 ${padding}`,
      covers: ['AvgPool'],
      inputs: [uniform([1, 4, 5, 1])],
      f: (x) => avgPool(x as Tensor4D, [3, 2], 1, padding),
    },
    {
      name: `MaxPool 3 by 2 ${padding}`,
      covers: ['MaxPool'],
      inputs: [distinct([2, 5, 6, 2])],
      f: (x) => maxPool(x as Tensor4D, 3, 2, padding),
    },
    {
      name: `MaxPool 3 by 1 ${padding}`,
      covers: ['MaxPool'],
      inputs: [distinct([1, 4, 5, 2])],
      f: (x) => maxPool(x as Tensor4D, 3, 1, padding),
    },
    {
      name: `AvgPool3D ${padding}`,
      covers: ['AvgPool3D'],
      inputs: [uniform([1, 3, 4, 3, 2])],
      f: (x) => avgPool3d(x as Tensor5D, 2, 2, padding),
    },
    {
      name: `MaxPool3D ${padding}`,
      covers: ['MaxPool3D'],
      inputs: [distinct([1, 3, 4, 3, 2])],
      f: (x) => maxPool3d(x as Tensor5D, 2, 1, padding),
    },
  ]),
  {
    name: 'MaxPool 2 by 2',
    covers: ['MaxPool'],
    inputs: [distinct([4, 4, 3])],
    f: (x) => maxPool(x as Tensor3D, 2, 2, 'valid'),
  },
];

const sizes: [string, number[], [number, number]][] = [
  ['twice as large', [2, 3, 4, 2], [6, 8]],
  ['larger by fractions', [1, 3, 4, 2], [7, 5]],
  ['smaller', [1, 7, 6, 1], [3, 4]],
  ['to one row', [1, 4, 5, 1], [1, 3]],
];

const conventions: [string, boolean, boolean][] = [
  ['plain', false, false],
  ['half-pixel centres', false, true],
  ['aligned corners', true, false],
];

const resizeCases: GradientCase[] = sizes.flatMap(([size, shape, target]) =>
  conventions.flatMap(([convention, align, half]): GradientCase[] => [
    {
      name: `ResizeBilinear ${size}, ${convention}`,
      covers: ['ResizeBilinear'],
      inputs: [uniform(shape)],
      f: (x) => image.resizeBilinear(x as Tensor4D, target, align, half),
    },
    {
      name: `ResizeNearestNeighbor ${size}, ${convention}`,
      covers: ['ResizeNearestNeighbor'],
      inputs: [uniform(shape)],
      f: (x) => image.resizeNearestNeighbor(x as Tensor4D, target, align, half),
    },
  ]),
);

const normalizationCases: GradientCase[] = [
  {
    name: 'FusedBatchNorm',
    covers: ['FusedBatchNorm'],
    inputs: [
      uniform([2, 2, 3, 2]),
      uniform([2], { seed: 2 }),
      uniform([2], { low: 0.4, high: 1, seed: 3 }),
      uniform([2], { seed: 4 }),
      uniform([2], { seed: 5 }),
    ],
    f: (x, mean, variance, offset, scale) =>
      batchNorm(x as Tensor4D, mean as Tensor1D, variance as Tensor1D, offset as Tensor1D, scale as Tensor1D, 0.01),
  },
  {
    name: 'FusedBatchNorm without scale and offset',
    covers: ['FusedBatchNorm'],
    inputs: [uniform([3, 4]), uniform([4], { seed: 2 }), uniform([4], { low: 0.4, high: 1, seed: 3 })],
    f: (x: Tensor, mean, variance) => batchNorm(x, mean as Tensor1D, variance as Tensor1D),
  },
  {
    name: 'LRN',
    covers: ['LRN'],
    inputs: [uniform([1, 2, 2, 6])],
    f: (x) => localResponseNormalization(x as Tensor4D, 2, 1.2, 0.4, 0.6),
  },
];

/** Matrix products, convolutions, pooling, resizing and normalisation. */
export const linearCases: GradientCase[] = [
  ...matrixCases,
  ...convolutionCases,
  ...poolingCases,
  ...resizeCases,
  ...normalizationCases,
];
