import { checkpoint } from '@rass/kernels';
import { type Conv2d, conv2d, type GroupNorm, groupNorm, multiHeadAttention } from '@rass/nn';
import { add, reshape, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import type { AttentionBlock, Resnet } from './params.ts';
import type { Layer } from './stages.ts';
import { foldedUpsampler, upsampleConv } from './upsample.ts';

function normSiluConv(norm: GroupNorm, conv: Conv2d, x_BHWC: Tensor4D): Tensor4D {
  return tidy(() => conv2d(conv, groupNorm(norm, x_BHWC, 'silu')));
}

/** @source diffusers ResnetBlock2D without a time embedding */
function resnet(p: Resnet, x_BHWC: Tensor4D): Tensor4D {
  const first = normSiluConv(p.norm1, p.conv1, x_BHWC);
  const second = normSiluConv(p.norm2, p.conv2, first);
  // At the image's resolution each of these is hundreds of megabytes: none is kept longer than needed.
  first.dispose();
  return add(p.shortcut === undefined ? x_BHWC : conv2d(p.shortcut, x_BHWC), second);
}

/** Attention of every pixel over all pixels. @source diffusers UNetMidBlock2D, AttnProcessor2_0 */
function attention({ norm, attention: p }: AttentionBlock, x_BHWC: Tensor4D): Tensor4D {
  const [B, H, W, C] = x_BHWC.shape;
  const tokens_BLC: Tensor3D = reshape(groupNorm(norm, x_BHWC), [B, H * W, C]);
  return add(x_BHWC, reshape(multiHeadAttention(p, tokens_BLC).out, [B, H, W, C]));
}

/** One stage on whole tensors. @shape [B, H, W, C] -> [B, H', W', C'] */
export function wholeLayer(layer: Layer, x_BHWC: Tensor4D): Tensor4D {
  return tidy(() => {
    switch (layer.kind) {
      case 'conv':
        return conv2d(layer.conv, x_BHWC);
      case 'resnet':
        return resnet(layer.resnet, x_BHWC);
      case 'attention':
        return attention(layer.block, x_BHWC);
      case 'upsample':
        return upsampleConv(foldedUpsampler(layer.conv), x_BHWC);
      case 'head':
        return normSiluConv(layer.norm, layer.conv, x_BHWC);
    }
  });
}

/** wholeLayer that keeps only its input for the backward pass. */
export function checkpointedLayer(layer: Layer, x_BHWC: Tensor4D): Tensor4D {
  // A convolution keeps no more than that anyway.
  if (layer.kind === 'conv') return wholeLayer(layer, x_BHWC);
  return checkpoint((x: Tensor4D) => wholeLayer(layer, x), [x_BHWC]);
}
