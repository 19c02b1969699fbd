import {
  add,
  conv2d as conv2dOp,
  fused,
  pad,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
  tidy,
} from '@tensorflow/tfjs-core';
import { isRecording, runFusedKernel } from './fused-kernel.ts';

/** Rows and columns of zeros around an image: the same on all sides, or [[top, bottom], [left, right]]. */
export type Padding2d = number | readonly [readonly [number, number], readonly [number, number]];

export interface Conv2dOptions {
  bias?: Tensor1D;
  stride?: number;
  padding?: Padding2d;
  dilation?: number;
}

type Sides = [rows: [number, number], columns: [number, number]];

function sidesOf(padding: Padding2d): Sides {
  if (typeof padding === 'number')
    return [
      [padding, padding],
      [padding, padding],
    ];
  const [rows, columns] = padding;
  return [[...rows], [...columns]];
}

/** What TensorFlow's 'same' adds to one side pair: the output has ceil(size / stride) values, the odd zero comes last. */
function samePadding(size: number, taps: number, stride: number, dilation: number): [number, number] {
  const covered = (Math.ceil(size / stride) - 1) * stride + (taps - 1) * dilation + 1;
  const total = Math.max(0, covered - size);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** The padding by TensorFlow's name, which every backend computes without a padded copy; undefined where it has none. */
function paddingByName(
  x: Tensor4D,
  weight: Tensor4D,
  sides: Sides,
  stride: number,
  dilation: number,
): 'valid' | 'same' | undefined {
  if (sides.flat().every((side) => side === 0)) return 'valid';
  const same = [0, 1].every((axis) => {
    const [before, after] = samePadding(x.shape[1 + axis], weight.shape[axis], stride, dilation);
    return sides[axis][0] === before && sides[axis][1] === after;
  });
  return same ? 'same' : undefined;
}

function checkGeometry(x: Tensor4D, weight: Tensor4D, sides: Sides, stride: number, dilation: number): void {
  for (const [name, value] of Object.entries({ stride, dilation })) {
    if (Number.isInteger(value) && value > 0) continue;
    throw new Error(`conv2d: the ${name} is a positive integer; got ${value}; give 1 or more`);
  }
  if (!sides.flat().every((side) => Number.isInteger(side) && side >= 0)) {
    throw new Error(
      `conv2d: padding is whole rows and columns, 0 or more; got [${sides.map((pair) => `[${pair}]`)}]; slice the image to crop it`,
    );
  }
  const padded = [0, 1].map((axis) => x.shape[1 + axis] + sides[axis][0] + sides[axis][1]);
  const reach = [0, 1].map((axis) => dilation * (weight.shape[axis] - 1) + 1);
  if (padded[0] < reach[0] || padded[1] < reach[1]) {
    throw new Error(
      `conv2d: the weight fits into the padded image; got a reach of ${reach.join('x')} in ${padded.join('x')} for x [${x.shape}], weight [${weight.shape}], dilation ${dilation}; pad more, or take a larger image`,
    );
  }
}

/** Cross-correlation with PyTorch's explicit padding. @shape x [B, H, W, I], weight [Kh, Kw, I, O], bias [O] ->
 * [B, floor((H + pad - dilation (Kh - 1) - 1) / stride) + 1, ..., O] @throws when channels differ,
 * the weight reaches over the padded image, or bias, stride, dilation or padding are not valid @source torch.nn.functional.conv2d */
export function conv2d(x_BHWC: Tensor4D, weight: Tensor4D, options: Conv2dOptions = {}): Tensor4D {
  const { bias, stride = 1, padding = 0, dilation = 1 } = options;
  if (x_BHWC.shape[3] !== weight.shape[2]) {
    throw new Error(
      `conv2d: the image has as many channels as the weight takes; got x [${x_BHWC.shape}] (B, H, W, C), weight [${weight.shape}] (Kh, Kw, I, O); check the layer's sizes`,
    );
  }
  if (bias !== undefined && (bias.rank !== 1 || bias.shape[0] !== weight.shape[3])) {
    throw new Error(
      `conv2d: the bias has one value for each channel made; got bias [${bias.shape}], weight [${weight.shape}] (Kh, Kw, I, O); check the layer's sizes`,
    );
  }
  const sides = sidesOf(padding);
  checkGeometry(x_BHWC, weight, sides, stride, dilation);
  return tidy(() => {
    const named = paddingByName(x_BHWC, weight, sides, stride, dilation);
    const x = named === undefined ? pad(x_BHWC, [[0, 0], ...sides, [0, 0]]) : x_BHWC;
    const geometry = { strides: stride, pad: named ?? 'valid', dilations: dilation } as const;
    if (!isRecording()) {
      const inputs: Record<string, Tensor> = bias === undefined ? { x, weight } : { x, weight, bias };
      const own = runFusedKernel('RassConv2d', inputs, geometry);
      return (own?.[0] as Tensor4D | undefined) ?? fused.conv2d({ x, filter: weight, bias, ...geometry });
    }
    const y = conv2dOp(x, weight, geometry.strides, geometry.pad, 'NHWC', geometry.dilations);
    return bias === undefined ? y : add(y, bias);
  });
}
