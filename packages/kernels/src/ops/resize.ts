import {
  customGrad,
  gather,
  image,
  matMul,
  reshape,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  tensor1d,
  tensor2d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';

export interface ResizeOptions {
  /** Map the corner pixels' centres onto each other, instead of the image's edges. Default false. */
  alignCorners?: boolean;
  /** Widen the filter when shrinking, as Pillow does. Default false. */
  antialias?: boolean;
}

export type ResizeMethod = 'bilinear' | 'bicubic' | 'nearest' | 'nearest-exact';

const METHODS: readonly ResizeMethod[] = ['bilinear', 'bicubic', 'nearest', 'nearest-exact'];

type Size = readonly [height: number, width: number];
type Kernel = (distance: number) => number;

/** Keys' cubic; PyTorch takes A = -0.75, and -0.5 when antialiasing, as Pillow. @source aten UpSampleKernel */
function cubic(a: number): Kernel {
  return (distance) => {
    const x = Math.abs(distance);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? a * (((x - 5) * x + 8) * x - 4) : 0;
  };
}

const triangle: Kernel = (distance) => Math.max(0, 1 - Math.abs(distance));

/** The dense matrix of a one-dimensional interpolation. @shape [to, from], rows sum to 1 */
function interpolationMatrix(from: number, to: number, method: 'bilinear' | 'bicubic', o: ResizeOptions): Float32Array {
  const matrix = new Float32Array(to * from);
  const align = o.alignCorners === true;
  const ratio = align ? (to > 1 ? (from - 1) / (to - 1) : 0) : from / to;
  if (o.antialias) return antialiasedMatrix(matrix, from, to, ratio, method);
  const taps = method === 'bilinear' ? [0, 1] : [-1, 0, 1, 2];
  const kernel = method === 'bilinear' ? triangle : cubic(-0.75);
  for (let row = 0; row < to; row++) {
    let centre = align ? row * ratio : (row + 0.5) * ratio - 0.5;
    // Only the linear filter clamps the position itself; the cubic one clamps each tap.
    if (method === 'bilinear') centre = Math.max(0, centre);
    const left = Math.floor(centre);
    for (const tap of taps) {
      const column = Math.min(from - 1, Math.max(0, left + tap));
      matrix[row * from + column] += kernel(centre - left - tap);
    }
  }
  return matrix;
}

function antialiasedMatrix(
  matrix: Float32Array,
  from: number,
  to: number,
  ratio: number,
  method: 'bilinear' | 'bicubic',
): Float32Array {
  const kernel = method === 'bilinear' ? triangle : cubic(-0.5);
  const stretch = Math.max(1, ratio);
  const support = (method === 'bilinear' ? 1 : 2) * stretch;
  for (let row = 0; row < to; row++) {
    // With aligned corners too, as in PyTorch: there only the ratio differs. @source aten UpSampleKernel
    const centre = ratio * (row + 0.5);
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: end - first }, (_, i) => kernel((first + i - centre + 0.5) / stretch));
    const total = weights.reduce((a, b) => a + b, 0);
    for (let i = 0; i < weights.length; i++) matrix[row * from + first + i] = weights[i] / total;
  }
  return matrix;
}

/** Multiplies the second axis by a matrix. @shape x [B, H, R], matrix [h, H] -> [B, h, R] */
function applyAlongRows(x: Tensor, matrix: Tensor2D): Tensor {
  const [batch, rows, rest] = x.shape;
  if (batch === 1) return reshape(matMul(matrix, reshape(x, [rows, rest]) as Tensor2D), [1, matrix.shape[0], rest]);
  return matMul(reshape(matrix, [1, ...matrix.shape]), x);
}

function resizeByMatrix(x: Tensor4D, [h, w]: Size, method: 'bilinear' | 'bicubic', o: ResizeOptions): Tensor4D {
  const [B, H, W, C] = x.shape;
  let y: Tensor = x;
  if (h !== H) {
    const rows = tensor2d(interpolationMatrix(H, h, method, o), [h, H]);
    y = reshape(applyAlongRows(reshape(y, [B, H, W * C]), rows), [B, h, W, C]);
  }
  if (w !== W) {
    const columns = tensor2d(interpolationMatrix(W, w, method, o), [w, W]);
    const turned = reshape(transpose(y, [0, 2, 1, 3]), [B, W, h * C]);
    y = transpose(reshape(applyAlongRows(turned, columns), [B, w, h, C]), [0, 2, 1, 3]);
  }
  return y === x ? x.clone() : (y as Tensor4D);
}

function nearestIndices(from: number, to: number, exact: boolean): Int32Array {
  return Int32Array.from({ length: to }, (_, i) =>
    Math.min(from - 1, Math.floor(((i + (exact ? 0.5 : 0)) * from) / to)),
  );
}

function resizeNearest(x: Tensor4D, [h, w]: Size, exact: boolean): Tensor4D {
  const [, H, W] = x.shape;
  let y: Tensor4D = h === H ? x.clone() : gather(x, tensor1d(nearestIndices(H, h, exact), 'int32'), 1);
  if (w !== W) y = gather(y, tensor1d(nearestIndices(W, w, exact), 'int32'), 2);
  return y;
}

function checkImages(op: string, { rank, shape }: Tensor): void {
  if (rank === 4) return;
  throw new Error(
    `${op}: x is a batch of images, [B, H, W, C]; got [${shape}]; reshape it, a single image to [1, H, W, C]`,
  );
}

/** Resizes images with PyTorch's conventions (half-pixel centres unless alignCorners), on every backend alike, with gradients.
 * @shape [B, H, W, C] -> [B, h, w, C] @throws when x is not of rank 4, a size is not a positive integer, the method is
 * unknown, or an option does not go with it
 * @source torch.nn.functional.interpolate */
export function resize(x_BHWC: Tensor4D, size: Size, method: ResizeMethod, options: ResizeOptions = {}): Tensor4D {
  checkImages('resize', x_BHWC);
  if (!METHODS.includes(method)) {
    throw new Error(`resize: the method is one of ${METHODS.join(', ')}; got ${method}; choose one of them`);
  }
  if (!size.every((n) => Number.isInteger(n) && n > 0)) {
    throw new Error(`resize: the size is two positive integers; got [${size}]; give [height, width] in pixels`);
  }
  if (method === 'nearest' || method === 'nearest-exact') {
    if (options.alignCorners || options.antialias) {
      throw new Error(
        `resize: ${method} takes neither alignCorners nor antialias; got ${JSON.stringify(options)}; leave them out`,
      );
    }
    return tidy(() => resizeNearest(x_BHWC, size, method === 'nearest-exact'));
  }
  return tidy(() => resizeByMatrix(x_BHWC, size, method, options));
}

/** Repeats every pixel `factor` times in both directions. @shape [B, H, W, C] -> [B, f H, f W, C]
 * @throws when x is not of rank 4, or the factor not a positive integer
 * @source torch.nn.functional.interpolate(mode='nearest') with a whole factor */
export function upsampleNearest(x_BHWC: Tensor4D, factor = 2): Tensor4D {
  checkImages('upsampleNearest', x_BHWC);
  if (!(Number.isInteger(factor) && factor > 0)) {
    throw new Error(`upsampleNearest: the factor is a positive integer; got ${factor}; use resize for other sizes`);
  }
  const [B, H, W, C] = x_BHWC.shape;
  const op = customGrad((x) => ({
    value: image.resizeNearestNeighbor(x as Tensor4D, [H * factor, W * factor]),
    gradFunc: (dy: Tensor) =>
      tidy(() => {
        const overRows = sum(reshape(dy, [B * H, factor, W * factor * C]), 1);
        return reshape(sum(reshape(overRows, [B * H * W, factor, C]), 1), [B, H, W, C]);
      }),
  }));
  return op(x_BHWC) as Tensor4D;
}
