import { describeOnBackends } from '@rass/testkit';
import { ones, type Tensor, type Tensor1D, type Tensor3D, type Tensor4D } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { attention } from './attention.ts';
import { type Conv2dOptions, conv2d } from './conv2d.ts';
import { groupNorm, layerNorm } from './norm.ts';
import { type ResizeMethod, resize, upsampleNearest } from './resize.ts';

const one = <T extends Tensor>(...shape: number[]): T => ones(shape) as T;

// What the backends make of these differs: an error of their own, an empty image, a broadcast, or any values.
describeOnBackends('ops name wrong shapes and options alike on every backend', () => {
  it.each<[string, Conv2dOptions & { biasLength?: number }, string]>([
    ['stride', { stride: 0 }, 'conv2d: the stride is a positive integer; got 0; give 1 or more'],
    ['dilation', { dilation: 1.5 }, 'conv2d: the dilation is a positive integer; got 1.5; give 1 or more'],
    [
      'padding',
      {
        padding: [
          [0, -1],
          [0, 0],
        ],
      },
      'conv2d: padding is whole rows and columns, 0 or more; got [[0,-1],[0,0]]; slice the image to crop it',
    ],
    [
      'reach',
      { padding: 1, dilation: 3 },
      'conv2d: the weight fits into the padded image; got a reach of 7x7 in 6x7 for x [1,4,5,2], weight [3,3,2,3], dilation 3; pad more',
    ],
    [
      'bias',
      { biasLength: 1 },
      'conv2d: the bias has one value for each channel made; got bias [1], weight [3,3,2,3] (Kh, Kw, I, O); check',
    ],
  ])('conv2d: %s', (_, { biasLength = 3, ...options }, message) => {
    const [x, weight, bias] = [one<Tensor4D>(1, 4, 5, 2), one<Tensor4D>(3, 3, 2, 3), one<Tensor1D>(biasLength)];
    expect(() => conv2d(x, weight, { ...options, bias })).toThrow(message);
  });

  it('norms: the bias', () => {
    const [x, weight, bias] = [one<Tensor3D>(2, 3, 4), one<Tensor1D>(4), one<Tensor1D>(1)];
    expect(() => groupNorm(x, weight, bias, { groups: 2 })).toThrow(
      'groupNorm: channels divide into the groups and match the weight and the bias; got x [2,3,4], weight [4], bias [1], groups 2; check',
    );
    expect(() => layerNorm(x, weight, bias)).toThrow(
      'layerNorm: the last axis matches the weight and the bias; got x [2,3,4], weight [4], bias [1]; check',
    );
  });

  it('attention: values unlike the keys', () => {
    const [q, k] = [one<Tensor3D>(2, 3, 4), one<Tensor3D>(2, 5, 4)];
    for (const shape of [
      [2, 5, 8],
      [1, 5, 4],
    ]) {
      expect(() => attention(q, k, one<Tensor3D>(...shape), { heads: 2 })).toThrow(
        `attention: q [B, L, C], k [B, S, C], v [B, S, C], C divisible by the heads; got q [2,3,4], k [2,5,4], v [${shape}], heads 2`,
      );
    }
  });

  it('resize and upsampleNearest: the rank, the method, the factor', () => {
    const [x, single] = [one<Tensor4D>(1, 4, 5, 2), one<Tensor4D>(4, 5, 2)];
    expect(() => resize(single, [2, 2], 'bilinear')).toThrow(
      'resize: x is a batch of images, [B, H, W, C]; got [4,5,2]; reshape it',
    );
    expect(() => upsampleNearest(single)).toThrow(
      'upsampleNearest: x is a batch of images, [B, H, W, C]; got [4,5,2]; reshape it',
    );
    expect(() => resize(x, [2, 2], 'lanczos' as ResizeMethod)).toThrow(
      'resize: the method is one of bilinear, bicubic, nearest, nearest-exact; got lanczos; choose one of them',
    );
    for (const factor of [0, -2, 1.5]) {
      expect(() => upsampleNearest(x, factor)).toThrow(
        `upsampleNearest: the factor is a positive integer; got ${factor}; use resize for other sizes`,
      );
    }
  });
}, ['cpu']);
