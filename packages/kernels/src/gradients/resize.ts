import {
  eye,
  image,
  matMul,
  ResizeBilinear,
  ResizeNearestNeighbor,
  reshape,
  sum,
  type Tensor,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import type { GradientContext, KernelGradient } from './definition.ts';

type Resize = (images: Tensor4D, size: [number, number]) => Tensor4D;

/** How one axis of length `from` is interpolated: the forward pass itself, run on unit vectors, so that the gradient
 * follows every backend's own rounding. @shape [to, from] */
function interpolationMatrix(resize: Resize, from: number, to: number): Tensor {
  const units = reshape(eye(from), [1, from, 1, from]) as Tensor4D;
  return reshape(resize(units, [to, 1]), [to, from]);
}

/** Applies the transposed matrices along rows, then along columns. */
function transposedResize(dy: Tensor, resize: Resize, [batch, height, width, channels]: number[]): Tensor {
  const [, outHeight, outWidth] = dy.shape;
  const rows = interpolationMatrix(resize, height, outHeight);
  const columns = interpolationMatrix(resize, width, outWidth);
  const byRows = matMul(rows, reshape(dy, [batch, outHeight, outWidth * channels]), true, false);
  const perRow = reshape(byRows, [batch * height, outWidth, channels]);
  return reshape(matMul(columns, perRow, true, false), [batch, height, width, channels]);
}

const isPowerOfTwo = (factor: number): boolean => Number.isInteger(Math.log2(factor));

/** Nearest neighbours enlarged 2, 4, 8 .. times are blocks of equal pixels, with no rounding in play. */
function isBlocks(dy: Tensor, [, height, width]: number[], { attrs }: GradientContext): boolean {
  const [, outHeight, outWidth] = dy.shape as number[];
  return (
    attrs.alignCorners !== true &&
    outHeight >= height &&
    outWidth >= width &&
    [outHeight / height, outWidth / width].every(isPowerOfTwo)
  );
}

function sumBlocks(dy: Tensor, [batch, height, width, channels]: number[]): Tensor {
  const [, outHeight, outWidth] = dy.shape as number[];
  const byRows = sum(reshape(dy, [batch * height, outHeight / height, outWidth * channels]), 1);
  return reshape(sum(reshape(byRows, [batch * height * width, outWidth / width, channels]), 1), [
    batch,
    height,
    width,
    channels,
  ]);
}

interface ResizeAttrs {
  alignCorners: boolean;
  halfPixelCenters: boolean;
}

function bilinear({ dy, inputs, attrs }: GradientContext): Tensor {
  const { alignCorners, halfPixelCenters } = attrs as unknown as ResizeAttrs;
  const resize: Resize = (images, size) => image.resizeBilinear(images, size, alignCorners, halfPixelCenters);
  return transposedResize(dy, resize, inputs.images.shape);
}

function nearest(context: GradientContext): Tensor {
  const { dy, inputs, attrs } = context;
  const { shape } = inputs.images;
  if (isBlocks(dy, shape, context)) return sumBlocks(dy, shape);
  const { alignCorners, halfPixelCenters } = attrs as unknown as ResizeAttrs;
  const resize: Resize = (images, size) => image.resizeNearestNeighbor(images, size, alignCorners, halfPixelCenters);
  return transposedResize(dy, resize, shape);
}

/** Resizing in all three conventions (plain, half-pixel centres, aligned corners), for any two shapes. */
export const resizeGradients: KernelGradient[] = [
  { kernel: ResizeBilinear, inputs: { images: { gradient: bilinear } } },
  { kernel: ResizeNearestNeighbor, inputs: { images: { gradient: nearest } } },
];
