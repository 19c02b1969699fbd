import { type Conv2d, conv2d, plainLayer } from '@rass/nn';
import {
  matMul,
  reshape,
  slice,
  type Tensor1D,
  type Tensor4D,
  tensor2d,
  tidy,
  tile,
  transpose,
} from '@tensorflow/tfjs-core';

/** Whether tap k of three reaches, from an output pixel of this parity, the first or the second of the two source
 * pixels that it sees: an even one sees itself last, an odd one first. */
function reaches(source: number, odd: number, k: number): boolean {
  const second = odd === 0 ? k > 0 : k === 2;
  return second === (source === 1);
}

/** Sums the nine taps into four for each of the four parities. Odd outputs come first, so that the rows and columns
 * that the outputs are too many are the outermost ones. @shape [16, 9] */
function foldingMatrix(): Float32Array {
  const pairs = [0, 1].flatMap((a) => [0, 1].map((b) => [a, b] as const));
  const rows = pairs.flatMap(([y, x]) => pairs.map(([q, r]) => [y, x, 1 - q, 1 - r] as const));
  const taps = Array.from({ length: 9 }, (_, tap) => [Math.floor(tap / 3), tap % 3] as const);
  const of = ([y, x, oddRow, oddColumn]: (typeof rows)[number]): number[] =>
    taps.map(([ky, kx]) => (reaches(y, oddRow, ky) && reaches(x, oddColumn, kx) ? 1 : 0));
  return Float32Array.from(rows.flatMap(of));
}

/** A 3x3 convolution of an image at twice its size, as a 2x2 convolution of the image itself to four times the
 * channels: a repeated pixel times each of its taps is the pixel times their sum. 4/9 of the multiplications, and no
 * image of repeated pixels. Made to be used with upsampleConv, then disposed of.
 * @shape weight [3, 3, I, O] -> [2, 2, I, 4 O] */
export function foldedUpsampler(p: Conv2d): Conv2d {
  const [, , inputs, outputs] = p.weight.shape;
  const { kind, path, stride } = p;
  const folded = tidy(() => {
    // An adapter's share is folded with the weight.
    const plain = plainLayer(p);
    const taps = reshape(plain.weight, [9, inputs * outputs]);
    const folded = reshape(matMul(tensor2d(foldingMatrix(), [16, 9]), taps), [4, 4, inputs, outputs]);
    const weight: Tensor4D = reshape(transpose(folded, [0, 2, 1, 3]), [2, 2, inputs, 4 * outputs]);
    const bias: Tensor1D | undefined = plain.bias === undefined ? undefined : tile(plain.bias, [4]);
    return { weight, bias };
  });
  return { kind, path, stride, ...folded, padding: 1 };
}

/** The four parities' channels to their places. @shape [B, H, W, 4 C] -> [B, 2 H, 2 W, C] */
function interleaved(x_BHWC: Tensor4D): Tensor4D {
  const [B, H, W, C] = x_BHWC.shape;
  return tidy(() => {
    const byRow = tidy(() => transpose(reshape(x_BHWC, [B * H, W, 2, C / 2]), [0, 2, 1, 3]));
    return reshape(byRow, [B, 2 * H, 2 * W, C / 4]);
  });
}

/** The convolution of the image at twice its size, with folded weights. `padding` says how many rows of zeros to put
 * above and below; a band has its neighbours' rows there instead. @shape [B, H, W, I] -> [B, 2 (H + padding) - 2, 2 W, O]
 * @source diffusers Upsample2D: nearest, then a 3x3 convolution */
export function upsampleConv(folded: Conv2d, x_BHWC: Tensor4D, padding: readonly [number, number] = [1, 1]): Tensor4D {
  return tidy(() => {
    const parities = conv2d({ ...folded, padding: [padding, [1, 1]] }, x_BHWC);
    const doubled = interleaved(parities);
    // As large as the result, at the image's resolution hundreds of megabytes.
    parities.dispose();
    const [, H, W] = doubled.shape;
    return slice(doubled, [0, 1, 1, 0], [-1, H - 2, W - 2, -1]);
  });
}
