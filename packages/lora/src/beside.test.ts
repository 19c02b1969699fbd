import { isPacked, packedTensor } from '@rass/kernels';
import { conv2d, disposeParams, leaves, linear, ParamSource, plainLayer } from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks, expectNoLeaksOnFaults } from '@rass/testkit';
import { keep, randomNormal, type Tensor, type Tensor4D, tensor, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { adapterFactors, addAdapter, type FileAdapter, mergeFactors } from './index.ts';

/** Numbers of float16: signs, and exponents around that of 1. */
const halves = (count: number): Uint16Array =>
  Uint16Array.from(
    { length: count },
    (_, i) => (((i * 7) % 2) << 15) | ((11 + ((i * 5) % 3)) << 10) | ((i * 389) % 1024),
  );

const model = (isPackedModel: boolean) => {
  const from = new ParamSource(({ shape }) => {
    const bits = halves(shape.reduce((a, b) => a * b));
    const view = new DataView(bits.buffer);
    const values = Float32Array.from(bits, (_, i) => view.getFloat16(2 * i, true));
    return keep(
      isPackedModel && shape.length > 1 ? packedTensor({ kind: 'half', bits }, shape) : tensor(values, [...shape]),
    );
  });
  return {
    q: from.at('blocks.to_q').linear(8, 12),
    conv: from.at('blocks.conv').conv2d(4, 8, { padding: 1, stride: 2 }),
    other: from.at('blocks.other').linear(8, 4),
  };
};

const STAGES: readonly FileAdapter[] = [
  { name: 'first', targets: ['to_q', 'conv'], rank: 2, alpha: 3 },
  { name: 'second', targets: 'blocks\\.conv', rank: 1, alpha: 8 },
];

const trained = () =>
  new ParamSource(({ key, shape }) => keep(randomNormal([...shape], 0, 1, 'float32', key.length + shape.length)));

async function merged(isPackedModel: boolean) {
  let tree = model(isPackedModel);
  // A stage after the other, as a pipeline loads them.
  for (const adapter of STAGES) tree = await mergeFactors(tree, adapterFactors(trained(), tree, adapter));
  return tree;
}

const outputs = ({ q, conv, other }: ReturnType<typeof model>): Tensor[] => {
  const image = randomNormal([2, 5, 6, 4], 0, 1, 'float32', 3) as Tensor4D;
  const rows = randomNormal([3, 8], 0, 1, 'float32', 4);
  return [linear(q, rows), conv2d(conv, image), linear(other, rows)];
};

describeOnBackends('products beside packed weights', () => {
  it('give what merged weights give, as they are and as one layer, and are freed with the tree', async () => {
    await expectNoLeaks(async () => {
      const [packed, plain] = [await merged(true), await merged(false)];
      expect([packed.q, packed.conv, packed.other].map(({ weight }) => isPacked(weight))).toEqual([true, true, true]);
      // Two layers with weight and bias have three products of two factors between them; the last one has none.
      expect(leaves(packed)).toHaveLength(3 + 2 * 3);
      expect(leaves(plain)).toHaveLength(3);
      const [found, wanted] = tidy(() => [outputs(packed), outputs(plain)]) as unknown as [Tensor[], Tensor[]];
      for (const [i, out] of found.entries()) await expectClose(out, await wanted[i]!.data(), { relative: 1e-5 });
      const whole = tidy(() => plainLayer(packed.conv).weight);
      await expectClose(whole, await plain.conv.weight.data(), { relative: 1e-5 });
      for (const out of [...found, ...wanted, whole]) out.dispose();
      disposeParams([packed, plain]);
    });
  });

  it('are refused where they are not finite, fail, or other adapters are there, with nothing left', async () => {
    await expectNoLeaks(async () => {
      const infinite = { ...STAGES[0]!, alpha: 1e39 };
      const tree = model(true);
      await expect(mergeFactors(tree, adapterFactors(trained(), tree, infinite))).rejects.toThrow(
        /^lora: merged weights are finite; got -?Infinity at \d+ of the adapter of blocks.to_q; look at the adapter$/,
      );
    });
    await expectNoLeaks(async () => {
      const adapted = await addAdapter(model(true), { targets: ['to_q'], rank: 2 }, { name: 'other', seed: 1 });
      await expect(mergeFactors(adapted, adapterFactors(trained(), adapted, STAGES[0]!))).rejects.toThrow(
        'lora: products go beside a packed weight without other adapters; got one on blocks.to_q; load the model without packed weights',
      );
    });
    await expectNoLeaks(async () => {
      const tree = await merged(true);
      await expect(addAdapter(tree, { targets: ['to_q'], rank: 2 }, { name: 'other', seed: 1 })).rejects.toThrow(
        'lora: adapters are put on layers of float32; got products beside the packed weight of blocks.to_q; load the model without packed weights',
      );
      disposeParams(tree);
    });
    await expectNoLeaksOnFaults(async () => disposeParams(await merged(true)), { places: 20 });
  });
}, ['webgpu']);
