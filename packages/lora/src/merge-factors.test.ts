import { disposeParams, ParamSource, randomParams } from '@rass/nn';
import { describeOnBackends, expectNoLeaks, expectNoLeaksOnFaults } from '@rass/testkit';
import { randomNormal, type Tensor } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { byKey } from './golden.test-support.ts';
import { adapterFactors, addAdapter, type FileAdapter, mergeAndUnload, mergeFactors } from './index.ts';

const ADAPTERS: readonly FileAdapter[] = [
  { name: 'first', targets: ['to_q', 'conv'], rank: 2, alpha: 3 },
  { name: 'second', targets: 'blocks\\.conv', rank: 1, alpha: 8 },
];
/** Its product is infinite. */
const LARGE: FileAdapter = { name: 'large', targets: ['to_q'], rank: 1, alpha: 1e39 };

const model = () => {
  const from = randomParams(1);
  return {
    q: from.at('blocks.to_q').linear(4, 6),
    conv: from.at('blocks.conv').conv2d(3, 5, { padding: 1 }),
    norm: from.at('blocks.norm').layerNorm(4),
  };
};

/** Random values for every factor, none 0; each time it is asked for the same ones. */
const trained = (seed = 0) =>
  new ParamSource(({ key, shape }) => randomNormal([...shape], 0, 1, 'float32', seed + key.length + shape.length));

describeOnBackends('products of a file', () => {
  it('are merged to the bit as the adapters that they are of, and nothing is left of what was given', async () => {
    await expectNoLeaks(async () => {
      let adapted = model();
      for (const { name, ...adapter } of ADAPTERS) {
        const added = await addAdapter(adapted, { ...adapter, init: 'gaussian' }, { name, from: trained() });
        adapted = added;
      }
      const expected = await mergeAndUnload(adapted, { consume: true });
      const plain = model();
      const factors = ADAPTERS.flatMap((adapter) => adapterFactors(trained(), plain, adapter));
      expect(factors.map(({ path, scale }) => [path, scale])).toEqual([
        ['blocks.to_q', 1.5],
        ['blocks.conv', 1.5],
        ['blocks.conv', 8],
      ]);
      const merged = await mergeFactors(plain, factors);
      const [found, wanted] = [byKey(merged), byKey(expected)];
      expect([...found.keys()]).toEqual([...wanted.keys()]);
      for (const [key, tensor] of wanted) expect(await (found.get(key) as Tensor).data()).toEqual(await tensor.data());
      disposeParams([merged, expected]);
    });
  });

  it('are refused where a weight would not be finite, with nothing left', async () => {
    await expectNoLeaks(async () => {
      const plain = model();
      const factors = adapterFactors(trained(), plain, LARGE);
      await expect(mergeFactors(plain, factors)).rejects.toThrow(
        /^lora: merged weights are finite; got -?Infinity at \d+ of blocks.to_q.weight; look at the adapter$/,
      );
    });
  });

  it('are refused where their layer is not there, before anything is merged, with nothing left', async () => {
    await expectNoLeaks(async () => {
      const plain = model();
      // Merged first, it would be refused for what it gives.
      const [large] = adapterFactors(trained(), plain, LARGE);
      const lost = ['blocks.to_qq', 'blocks.cnv', 'blocks.a', 'blocks.b'].map((path) => {
        const [found] = adapterFactors(trained(), plain, LARGE);
        return { ...found!, path };
      });
      await expect(mergeFactors(plain, [large!, ...lost])).rejects.toThrow(
        'lora: products are merged into layers of the model; got products of "blocks.to_qq" (closest: blocks.to_q), ' +
          '"blocks.cnv" (closest: blocks.conv), "blocks.a" (closest: blocks.to_q) and 1 more; ask adapterFactors for those of this model',
      );
    });
  });

  it('leave nothing where a kernel fails or a weight cannot be read', async () => {
    await expectNoLeaksOnFaults(async () => {
      const plain = model();
      const factors = ADAPTERS.flatMap((adapter) => adapterFactors(trained(), plain, adapter));
      disposeParams(await mergeFactors(plain, factors));
    });
  });
});

it('says what a file has no products for, before it is asked for any', async () => {
  const plain = model();
  await expectNoLeaks(() => {
    expect(() => adapterFactors(trained(), plain, { ...ADAPTERS[0]!, targets: ['to_q', 'norm'] })).toThrow(
      'lora: products of a file are merged into linear layers and convolutions; got blocks.norm, a layerNorm; use addAdapter',
    );
    expect(() => adapterFactors(trained(), plain, { ...ADAPTERS[0]!, targets: ['to_qq'] })).toThrow('closest: to_q');
  });
  disposeParams(plain);
});
