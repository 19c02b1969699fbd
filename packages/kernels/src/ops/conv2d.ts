import { fused, type Tensor1D, type Tensor4D } from '@tensorflow/tfjs-core';

/** Rows and columns of zeros around an image: the same on all sides, or [[top, bottom], [left, right]]. */
export type Padding2d = number | readonly [readonly [number, number], readonly [number, number]];

export interface Conv2dOptions {
  bias?: Tensor1D;
  stride?: number;
  padding?: Padding2d;
  dilation?: number;
}

type ExplicitPadding = [[number, number], [number, number], [number, number], [number, number]];

function explicitPadding(padding: Padding2d): ExplicitPadding {
  const [rows, columns] =
    typeof padding === 'number'
      ? [
          [padding, padding],
          [padding, padding],
        ]
      : padding;
  return [
    [0, 0],
    [rows[0], rows[1]],
    [columns[0], columns[1]],
    [0, 0],
  ];
}

/** Cross-correlation with PyTorch's explicit padding. @shape x [B, H, W, I], weight [Kh, Kw, I, O], bias [O] ->
 * [B, floor((H + pad - dilation (Kh - 1) - 1) / stride) + 1, ..., O] @throws when channels differ
 * @source torch.nn.functional.conv2d */
export function conv2d(x_BHWC: Tensor4D, weight: Tensor4D, options: Conv2dOptions = {}): Tensor4D {
  const { bias, stride = 1, padding = 0, dilation = 1 } = options;
  if (x_BHWC.shape[3] !== weight.shape[2]) {
    throw new Error(
      `conv2d: the image has as many channels as the weight takes; got x [${x_BHWC.shape}] (B, H, W, C), weight [${weight.shape}] (Kh, Kw, I, O); check the layer's sizes`,
    );
  }
  const none = explicitPadding(padding).every(([before, after]) => before === 0 && after === 0);
  return fused.conv2d({
    x: x_BHWC,
    filter: weight,
    strides: stride,
    pad: none ? 'valid' : explicitPadding(padding),
    dilations: dilation,
    bias,
  });
}
