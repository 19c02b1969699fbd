import { conv2d, depthwiseConv2d, fused, reshape, type Tensor1D, type Tensor4D, tensor } from '@tensorflow/tfjs-core';
import { counting, type KernelCase } from './products.test-support.ts';

/** Pixels that count up. */
export const image = (rows: number, columns: number, channels = 1): Tensor4D =>
  counting([1, rows, columns, channels]) as Tensor4D;

/** A window of ones. */
export const ones = (shape: [number, number, number, number]): Tensor4D =>
  tensor(new Float32Array(shape.reduce((a, b) => a * b)).fill(1), shape);

/** A bias whose values were written as a row. */
const reshapedBias = (values: number[]): Tensor1D => reshape(tensor([values]), [values.length]);

/** Calls of convolutions, worked out by hand. */
export const convolutionCases: KernelCase[] = [
  {
    // Rows 0 1 2 3 and 4 5 6 7: one row is made, of 0 + 1 + 2 and 2 + 3 + a zero behind.
    name: 'a window that spans less than it is moved',
    covers: 'Conv2D',
    run: () => conv2d(image(2, 4), ones([1, 3, 1, 1]), 2, 'same'),
    expected: [3, 5],
  },
  {
    name: 'two channels, padding by name',
    covers: 'DepthwiseConv2dNative',
    run: () => depthwiseConv2d(image(1, 3, 2), ones([1, 2, 2, 1]), 1, 'same'),
    expected: [2, 4, 6, 8, 4, 5],
  },
  {
    name: 'a bias that was written under another shape',
    covers: 'FusedConv2D',
    run: () =>
      fused.conv2d({
        x: image(1, 2),
        filter: ones([1, 1, 1, 2]),
        strides: 1,
        pad: 'valid',
        bias: reshapedBias([10, -0.5]),
        activation: 'relu',
      }),
    expected: [10, 0, 11, 0.5],
  },
  {
    name: 'PReLU with a slope for each place',
    covers: 'FusedConv2D',
    run: () =>
      fused.conv2d({
        x: image(2, 1),
        filter: tensor([-1, 2], [1, 1, 1, 2]),
        strides: 1,
        pad: 'valid',
        bias: reshapedBias([-1, -1]),
        activation: 'prelu',
        preluActivationWeights: tensor([3, 5], [2, 1, 1]),
      }),
    expected: [-3, -3, -10, 1],
  },
  {
    name: 'a bias that was written under another shape',
    covers: 'FusedDepthwiseConv2D',
    run: () =>
      fused.depthwiseConv2d({
        x: image(1, 2, 2),
        filter: ones([1, 1, 2, 1]),
        strides: 1,
        pad: 'valid',
        bias: reshapedBias([1, -3]),
        activation: 'relu',
      }),
    expected: [1, 0, 3, 0],
  },
];
