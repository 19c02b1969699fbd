import { isPacked } from '@rass/kernels';
import { type Conv2d, conv2d, disposeParams, type Linear, linear, type ParamSource } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, randomValues } from '@rass/testkit';
import { engine, ones, type Tensor, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import type { Checkpoint } from '../checkpoint.ts';
import { fromFloat32 } from '../dtype/encode.ts';
import { openCheckpoint } from '../open.ts';
import { quantizedSpecs, writeQuantized } from '../quantized/write.ts';
import { renamedCheckpoint, viewCheckpoint } from '../rename/view.ts';
import { encodeSafetensors, startSafetensors, type TensorToWrite } from '../safetensors/write.ts';
import { memorySink } from '../sink/byte-sink.ts';
import { loadParams } from './load-params.ts';

interface Tree {
  readonly conv: Conv2d;
  readonly wide: Linear;
  readonly odd: Linear;
}

const tree = (from: ParamSource): Tree => ({
  conv: from.at('conv').conv2d(8, 12, { kernel: 3, padding: 1 }),
  // Rows of whole groups, and of others.
  wide: from.at('wide').linear(64, 8),
  odd: from.at('odd').linear(36, 8),
});

const WEIGHTS = { 'conv.weight': [12, 8, 3, 3], 'wide.weight': [8, 64], 'odd.weight': [8, 36] } as const;
const BIASES = { 'conv.bias': [12], 'wide.bias': [8], 'odd.bias': [8] } as const;

const valuesOf = (shape: readonly number[], seed: number) =>
  randomValues(
    shape.reduce((a, b) => a * b),
    { seed },
  );

const encoded = (shapes: Readonly<Record<string, readonly number[]>>, dtype: 'F16' | 'F32') =>
  Object.fromEntries(
    Object.entries(shapes).map(([key, shape], seed): [string, TensorToWrite] => [
      key,
      { dtype, shape: [...shape], data: fromFloat32(valuesOf(shape, seed), dtype) },
    ]),
  );

const ofHalves = async (): Promise<Checkpoint> =>
  openCheckpoint(await encodeSafetensors({ ...encoded(WEIGHTS, 'F16'), ...encoded(BIASES, 'F32') }));

async function ofCodes(bits: 4 | 8): Promise<Checkpoint> {
  const options = { bits, groupSize: 32 } as const;
  const { specs, metadata } = quantizedSpecs(new Map(Object.entries(WEIGHTS)), options);
  for (const [key, shape] of Object.entries(BIASES)) specs.set(key, { dtype: 'F32', shape: [...shape] });
  const sink = memorySink();
  const writer = await startSafetensors(sink, specs, { metadata });
  for (const [key, shape] of Object.entries(WEIGHTS))
    await writeQuantized(writer, key, valuesOf(shape, 3), shape, options);
  for (const [key, shape] of Object.entries(BIASES)) await writer.write(key, valuesOf(shape, 4));
  await writer.finish();
  return openCheckpoint(sink.bytes());
}

const run = ({ conv, wide, odd }: Tree): Tensor[] => [
  conv2d(conv, ones([1, 4, 5, 8]) as Tensor4D),
  linear(wide, ones([3, 64])),
  linear(odd, ones([3, 36])),
];

const KINDS = [
  ['float16', ofHalves],
  ['8 bits', () => ofCodes(8)],
  ['4 bits', () => ofCodes(4)],
] as const;

describeOnBackends('weights that stay as they are stored', () => {
  it.each(KINDS)('%s: give what float32 gives', async (_, open) => {
    await expectNoLeaks(async () => {
      const checkpoint = await open();
      const { params } = await loadParams(checkpoint, tree, { packed: true });
      const { params: plain } = await loadParams(checkpoint, tree);
      const onGpu = engine().backendName === 'webgpu';
      for (const { weight } of [params.conv, params.wide, params.odd]) expect(isPacked(weight)).toBe(onGpu);
      expect([params.conv.bias, plain.conv.weight].some((one) => isPacked(one as Tensor))).toBe(false);
      for (const key of ['conv', 'wide', 'odd'] as const)
        await expectClose(params[key].weight, await plain[key].weight.data(), { relative: 1e-6 });
      const [ours, expected] = tidy(() => [run(params), run(plain)]) as unknown as [Tensor[], Tensor[]];
      for (const [i, out] of ours.entries()) await expectClose(out, await expected[i].data(), { relative: 1e-5 });
      for (const out of [...ours, ...expected]) out.dispose();
      disposeParams([params, plain]);
    });
  });

  it('keep their codes under other names, and are float32 as parts of other tensors', async () => {
    const build = (from: ParamSource) => from.linear(64, 8, { bias: false });
    const below = await ofCodes(8);
    const renamed = renamedCheckpoint(below, [[{ prefix: 'wide.', to: '' }]], 'drop');
    const whole = await loadParams(renamed, build, { packed: true, allowUnused: ['bias'] });
    expect(isPacked(whole.params.weight)).toBe(engine().backendName === 'webgpu');
    const rows = viewCheckpoint(below, new Map([['weight', { key: 'wide.weight', rows: [0, 4] as const }]]));
    const part = await loadParams(rows, (from) => from.linear(64, 4, { bias: false }), { packed: true });
    expect(isPacked(part.params.weight)).toBe(false);
    await expectClose(part.params.weight, (await whole.params.weight.data()).slice(0, 256), { relative: 1e-6 });
    disposeParams([whole.params, part.params]);
  });

  it('are refused when they are not finite', async () => {
    const tensors = encoded({ weight: [4, 4] }, 'F16');
    (tensors.weight.data as Uint16Array).set([0x7c00, 0x7e01], 3);
    const loaded = loadParams(
      await openCheckpoint(await encodeSafetensors(tensors)),
      (from) => from.linear(4, 4, { bias: false }),
      { packed: true },
    );
    await expect(loaded).rejects.toThrow('not finite (1):\n  weight: 2 values');
  });
});
