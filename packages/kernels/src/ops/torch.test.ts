import { describeOnBackends, expectClose, expectNoLeaks, loadGolden } from '@rass/testkit';
import {
  grads,
  mul,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { geglu, gelu, quickGelu, silu } from './activations.ts';
import { attention } from './attention.ts';
import { conv2d } from './conv2d.ts';
import { linear } from './linear.ts';
import { groupNorm, layerNorm } from './norm.ts';
import { resize, upsampleNearest } from './resize.ts';

// biome-ignore lint/suspicious/noExplicitAny: each case stores its own options
type Config = any;
type Op = (config: Config, ...inputs: Tensor[]) => Tensor;

/** NCHW to NHWC, and a convolution's weight to [Kh, Kw, I, O]; other tensors are laid out alike. */
function ours(name: string, x: Tensor, images: boolean): Tensor {
  if (!images || x.rank !== 4) return x;
  return name === 'weight' ? transpose(x, [2, 3, 1, 0]) : transpose(x, [0, 2, 3, 1]);
}

interface Case {
  names: string[];
  inputs: string[];
  images?: boolean;
  op: Op;
}

const sizes = ['17x5', '4x20'];
const named = (stem: string, options: string[]): string[] =>
  options.flatMap((o) => sizes.map((s) => `${stem}${o}-${s}`));

const cases: Case[] = [
  { names: ['silu'], inputs: ['x'], op: (_, x) => silu(x) },
  { names: ['gelu'], inputs: ['x'], op: (_, x) => gelu(x) },
  { names: ['quick-gelu'], inputs: ['x'], op: (_, x) => quickGelu(x) },
  { names: ['geglu'], inputs: ['x'], op: (_, x) => geglu(x) },
  { names: ['linear'], inputs: ['x', 'weight', 'bias'], op: (_, x, w, b) => linear(x, w as Tensor2D, b as Tensor1D) },
  {
    names: ['group-norm'],
    inputs: ['x', 'weight', 'bias'],
    images: true,
    op: (c, x, w, b) => groupNorm(x, w as Tensor1D, b as Tensor1D, c),
  },
  {
    names: ['group-norm-silu'],
    inputs: ['x', 'weight', 'bias'],
    images: true,
    op: (c, x, w, b) => groupNorm(x, w as Tensor1D, b as Tensor1D, { ...c, activation: 'silu' }),
  },
  {
    names: ['layer-norm'],
    inputs: ['x', 'weight', 'bias'],
    op: (c, x, w, b) => layerNorm(x, w as Tensor1D, b as Tensor1D, c.epsilon),
  },
  {
    names: ['conv-3x3', 'conv-stride-2', 'conv-1x1', 'conv-dilated', 'conv-one-sided'],
    inputs: ['x', 'weight', 'bias'],
    images: true,
    op: (c, x, w, b) => conv2d(x as Tensor4D, w as Tensor4D, { ...c, bias: b as Tensor1D }),
  },
  {
    names: ['attention'],
    inputs: ['q', 'k', 'v'],
    op: (c, q, k, v) => attention(q as Tensor3D, k as Tensor3D, v as Tensor3D, c),
  },
  {
    names: ['attention-causal'],
    inputs: ['k', 'v'],
    op: (c, k, v) => attention(k as Tensor3D, k as Tensor3D, v as Tensor3D, c),
  },
  {
    names: [
      ...named('resize-bilinear', ['', '-align-corners', '-antialias', '-antialias-align-corners']),
      ...named('resize-bicubic', ['', '-align-corners', '-antialias', '-antialias-align-corners']),
      ...named('resize-nearest', ['', '-exact']),
    ],
    inputs: ['x'],
    images: true,
    op: (c, x) => resize(x as Tensor4D, c.size, c.method, c),
  },
];

describeOnBackends('ops against torch', () => {
  for (const { names, inputs, images = false, op } of cases) {
    it.each(names)('%s: output, gradients, no leak', async (name) => {
      const golden = loadGolden(`kernels/${name}`);
      const read = (kind: string, key: string): Tensor => ours(key, golden.tensor(`${kind}/${key}`), images);
      const xs = inputs.map((key) => read('in', key));
      const dy = ours('dy', golden.tensor('in/dy'), images);
      await expectClose(
        tidy(() => op(golden.config, ...xs)),
        ours('y', golden.tensor('out/y'), images),
        { label: name },
      );
      const ds = grads((...args: Tensor[]) => sum(mul(op(golden.config, ...args), dy)))(xs);
      for (let i = 0; i < inputs.length; i++) {
        await expectClose(ds[i], read('grad', inputs[i]), {
          relative: 1e-3,
          label: `${name}: gradient of ${inputs[i]}`,
        });
      }
      await expectNoLeaks(() => tidy(() => void op(golden.config, ...xs)));
      await expectNoLeaks(() =>
        tidy(() => void grads((...args: Tensor[]) => sum(mul(op(golden.config, ...args), dy)))(xs)),
      );
    });
  }

  it('upsampleNearest equals the resize by a whole factor, with its gradient', async () => {
    const golden = loadGolden('kernels/resize-nearest-17x5');
    const x = ours('x', golden.tensor('in/x'), true) as Tensor4D;
    await expectClose(upsampleNearest(x), resize(x, [18, 22], 'nearest'));
    const loss = (f: (x: Tensor4D) => Tensor) => (t: Tensor) => sum(mul(f(t as Tensor4D), f(t as Tensor4D)));
    const [a] = grads(loss((t) => upsampleNearest(t)))([x]);
    const [b] = grads(loss((t) => resize(t, [18, 22], 'nearest')))([x]);
    await expectClose(a, b, { relative: 1e-5 });
  });

  it('names wrong shapes and options', () => {
    const x = ours('x', loadGolden('kernels/conv-3x3').tensor('in/x'), true) as Tensor4D;
    const flat = loadGolden('kernels/linear');
    const [w, b] = [flat.tensor('in/weight') as Tensor2D, flat.tensor('in/bias') as Tensor1D];
    expect(() => linear(x, w)).toThrow(
      "linear: the last axis of x is the weight's input width; got x [2,6,9,3], weight [4,6]",
    );
    expect(() => geglu(x)).toThrow('geglu: the last axis holds values and gates, so it is even; got [2,6,9,3]');
    expect(() => groupNorm(x, b, b, { groups: 2 })).toThrow(
      'groupNorm: channels divide into the groups and match the weight and the bias; got x [2,6,9,3]',
    );
    expect(() => layerNorm(x, b, b)).toThrow(
      'layerNorm: the last axis matches the weight and the bias; got x [2,6,9,3], weight [4]',
    );
    const weight = ours('weight', loadGolden('kernels/conv-3x3').tensor('in/weight'), true) as Tensor4D;
    expect(() => conv2d(transpose(x, [0, 3, 1, 2]), weight)).toThrow(
      'conv2d: the image has as many channels as the weight takes',
    );
    expect(() => resize(x, [0, 4], 'bilinear')).toThrow('resize: the size is two positive integers; got [0,4]');
    expect(() => resize(x, [4, 4], 'nearest', { antialias: true })).toThrow(
      'resize: nearest takes neither alignCorners nor antialias',
    );
  });
});
