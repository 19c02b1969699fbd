import { describeOnBackends, expectClose, expectNoLeaks, loadGolden, randomValues } from '@rass/testkit';
import {
  backend,
  dispose,
  engine,
  grads,
  ones,
  reshape,
  type Tensor,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  type Tensor5D,
  type TensorInfo,
  tensor,
  tensor2d,
  tensor4d,
  tidy,
  util,
  zeros,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { deformableAttentionKernels } from '../host-kernels/deformable-attention.ts';
import { MODULE } from '../host-kernels/deformable-attention-module.ts';
import { wasmExports } from '../host-kernels/wasm-module.ts';
import { multiScaleDeformableAttention } from './deformable-attention.ts';
import {
  composedDeformableAttention,
  composedDeformableGradients,
  type FeatureLevel,
  type Samples,
} from './deformable-attention-composed.ts';

const CASES = ['deformable-attention', 'deformable-attention-odd', 'deformable-attention-single'];
const NAMES = ['value', 'locations', 'weights'] as const;

interface Case {
  readonly levels: FeatureLevel[];
  /** value, locations, weights */
  readonly inputs: readonly [Tensor4D, Tensor5D, Tensor4D];
  readonly dy: Tensor;
  readonly out: Tensor;
  readonly gradients: readonly Tensor[];
}

function load(name: string): Case {
  const golden = loadGolden(`kernels/${name}`);
  return {
    levels: golden.config.levels,
    inputs: NAMES.map((each) => golden.tensor(`in/${each}`)) as unknown as Case['inputs'],
    dy: golden.tensor('in/dy'),
    out: golden.tensor('out'),
    gradients: NAMES.map((each) => golden.tensor(`grad/${each}`)),
  };
}

/** The inputs as the composed form takes them. */
function samples({ levels, inputs: [value, locations, weights] }: Pick<Case, 'levels' | 'inputs'>): Samples {
  const [B, S, N, K] = value.shape;
  const [, L, , P] = weights.shape;
  return {
    value: reshape(value, [B * S * N, K]) as Tensor2D,
    levels,
    locations: reshape(locations, [B * L * N, P, 2]) as Tensor3D,
    weights: reshape(weights, [B * L * N, P]) as Tensor2D,
    batchStride: S * N,
    heads: N,
    queries: L,
  };
}

describeOnBackends('multiScaleDeformableAttention', () => {
  it.each(CASES)('equals transformers, with all gradients: %s', async (name) => {
    const each = load(name);
    await expectNoLeaks(async () => {
      const run = (value: Tensor, locations: Tensor, weights: Tensor): Tensor =>
        multiScaleDeformableAttention(value as Tensor4D, each.levels, locations as Tensor5D, weights as Tensor4D);
      const out = run(...each.inputs);
      await expectClose(out, each.out);
      const found = grads(run)([...each.inputs], each.dy);
      for (const [i, gradient] of found.entries()) {
        await expectClose(gradient, each.gradients[i], { relative: 1e-4, label: NAMES[i] });
      }
      dispose([out, ...found]);
    });
  });

  it.each(CASES)('is as right where it is composed of other operations: %s', async (name) => {
    const each = load(name);
    const { out, found } = tidy(() => {
      const s = samples(each);
      const dy = reshape(each.dy, [s.weights.shape[0], s.value.shape[1]]) as Tensor2D;
      return { out: composedDeformableAttention(s), found: composedDeformableGradients(s, dy) };
    });
    await expectClose(await out.data(), each.out);
    for (const [i, gradient] of found.entries()) {
      await expectClose(await gradient.data(), each.gradients[i], { relative: 1e-4, label: NAMES[i] });
    }
  });

  it('adds up many queries that share pixels, to the same bits each time', async () => {
    const random = (seed: number, shape: number[]): Tensor =>
      tensor(randomValues(util.sizeFromShape(shape), { seed }), shape);
    const value = random(1, [1, 6, 3, 8]) as Tensor4D;
    const locations = random(2, [1, 700, 3, 4, 2]) as Tensor5D;
    const weights = random(3, [1, 700, 3, 4]) as Tensor4D;
    const dy = random(4, [1, 700, 24]);
    const levels = [2, 1].map((rows) => ({ rows, columns: 2 }));
    const run = (v: Tensor, l: Tensor, w: Tensor): Tensor =>
      multiScaleDeformableAttention(v as Tensor4D, levels, l as Tensor5D, w as Tensor4D);
    const once = async (): Promise<Float32Array[]> => {
      const found = [run(value, locations, weights), ...grads(run)([value, locations, weights], dy)];
      const values = await Promise.all(found.map((each) => each.data<'float32'>()));
      dispose(found);
      return values;
    };
    const first = await once();
    expect(await once()).toEqual(first);
    const composed = tidy(() => {
      const s = samples({ levels, inputs: [value, locations, weights] });
      return [composedDeformableAttention(s), ...composedDeformableGradients(s, reshape(dy, [2100, 8]))];
    });
    for (const [i, each] of composed.entries()) await expectClose(first[i], await each.data(), { relative: 1e-4 });
  });

  it('takes the pixel at whose centre a point is, the mean between two, and nothing outside', async () => {
    // One map of two columns with the values 3 and 5.
    const value = tensor4d([3, 5], [1, 2, 1, 1]);
    const places = tensor([0.25, 0.5, 0.75, 0.5, 0.5, 0.5, 0, 0.5, 2, 0.5], [1, 5, 1, 1, 2]) as Tensor5D;
    const out = multiScaleDeformableAttention(value, [{ rows: 1, columns: 2 }], places, ones([1, 5, 1, 1]));
    await expectClose(out, tensor([3, 5, 4, 1.5, 0], [1, 5, 1]));
  });

  it('says what does not fit', () => {
    const value = zeros([1, 6, 2, 4]) as Tensor4D;
    const places = zeros([1, 3, 2, 2, 2]) as Tensor5D;
    const weights = zeros([1, 3, 2, 2]) as Tensor4D;
    const call =
      (levels: FeatureLevel[], w = weights) =>
      () =>
        multiScaleDeformableAttention(value, levels, places, w);
    expect(call([{ rows: 2, columns: 2 }])).toThrow(
      'multiScaleDeformableAttention: value [B, S, N, K], S the pixels of all levels, locations [B, L, N, P, 2], weights [B, L, N, P], ' +
        "P a multiple of the levels; got value [1,6,2,4], levels 2x2, locations [1,3,2,2,2], weights [1,3,2,2]; check the levels' order and the projections",
    );
    expect(call([{ rows: 2, columns: 3 }], zeros([1, 3, 2, 3]) as Tensor4D)).toThrow('weights [1,3,2,3]');
  });
});

describeOnBackends('the module for wasm', () => {
  it('is in use: no loops stand in for it', () => {
    expect(wasmExports(MODULE)).toMatchObject({ forward: expect.any(Function), backward: expect.any(Function) });
  });

  it('is left out where it does not compile', () => {
    expect(wasmExports(btoa('no module'))).toBeUndefined();
  });
}, ['wasm']);

describeOnBackends('the loops that wasm falls back to where it has no SIMD, or threads', () => {
  it.each(CASES)('give the same: %s', async (name) => {
    const { levels, inputs, dy, out, gradients } = load(name);
    const [value, locations, weights] = inputs;
    const sizes = tensor2d(levels.map(({ rows, columns }) => [rows, columns]));
    const [forward, backward] = deformableAttentionKernels.map(({ kernelFunc }) => kernelFunc);
    const call = { inputs: { value, sizes, locations, weights }, attrs: {}, backend: backend() };
    const asTensor = (info: TensorInfo): Tensor => engine().makeTensorFromTensorInfo(info);
    await expectClose(asTensor(forward(call) as TensorInfo), out);
    const found = backward({ ...call, inputs: { ...call.inputs, dy } }) as TensorInfo[];
    for (const [i, info] of found.entries()) {
      await expectClose(asTensor(info), gradients[i], { relative: 1e-4, label: NAMES[i] });
    }
  });
}, ['wasm']);
