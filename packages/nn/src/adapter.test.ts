import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { add, mul, type Tensor, tensor1d, tensor2d, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  type Adapter,
  disposeParams,
  embedding,
  type Linear,
  leaves,
  linear,
  mapLeaves,
  mapTensors,
  namedTensors,
  type Parameter,
  plainLayer,
  trainable,
  trainableTensors,
} from './index.ts';

type Params = { readonly bonus: Parameter; readonly times: number };

/** Adds a number of its own to each output. */
const bonus: Omit<Adapter<Params>, 'params'> = {
  forward: ({ bonus: { value }, times }, layer, x, base) => add(base(layer, x), mul(value, times)),
  plain: ({ bonus: { value }, times }, layer) => ({
    ...(layer as Linear),
    adapter: undefined,
    bias: mul(value, times),
  }),
};

const layer = (): { out: Linear } => {
  const value = tensor1d([1, 2]) as Tensor;
  const params: Params = { bonus: { kind: 'parameter', path: 'out.bonus', value }, times: 10 };
  const adapter = { params, ...bonus } as unknown as Adapter;
  return { out: { kind: 'linear', path: 'out', weight: tensor2d([[1], [3]]), adapter } };
};

describeOnBackends('adapters', () => {
  it('compute beside the layer, or as one layer', async () => {
    await expectNoLeaks(async () => {
      const tree = layer();
      const x = tensor2d([[1], [2]]);
      const y = tidy(() => linear(tree.out, x));
      await expectClose(y, [11, 23, 12, 26]);
      const plain = tidy(() => linear(plainLayer(tree.out), x));
      await expectClose(plain, y);
      for (const each of [x, y, plain]) each.dispose();
      disposeParams(tree);
    });
  });

  it('have leaves behind their layer, which are mapped and trained with the tree', async () => {
    const tree = layer();
    expect(namedTensors(tree).map(({ key }) => key)).toEqual(['out.weight', 'out.bonus']);
    expect(leaves(tree).map(({ path }) => path)).toEqual(['out', 'out.bonus']);
    const doubled = mapTensors(tree, ({ key, tensor }) => (key === 'out.bonus' ? mul(tensor, 2) : tensor));
    const x = tensor2d([[1]]);
    await expectClose(linear(doubled.out, x), tensor2d([[21, 43]]));
    expect(doubled.out.weight).toBe(tree.out.weight);
    const training = trainable(tree, (key) => key === 'out.bonus');
    expect(Object.keys(trainableTensors(training))).toEqual(['out.bonus']);
    await expectClose(linear(training.out, x), tensor2d([[11, 23]]));
    for (const each of [doubled, training, tree]) disposeParams(each);
    x.dispose();
  });

  it('go with their layer where leaves are mapped, and are not visited by themselves', () => {
    const tree = layer();
    const seen: string[] = [];
    const bare = mapLeaves(tree, (leaf) => {
      seen.push(leaf.path);
      return { ...(leaf as Linear), adapter: undefined };
    });
    expect(seen).toEqual(['out']);
    expect(namedTensors(bare).map(({ key }) => key)).toEqual(['out.weight']);
    disposeParams(tree);
  });

  it('put the path before what goes wrong', () => {
    const words = { kind: 'embedding', path: 'words', weight: tensor2d([[1], [2]]) } as const;
    const failing = {
      ...words,
      adapter: {
        params: undefined,
        forward: () => {
          throw new Error('broken');
        },
        plain: bonus.plain as Adapter['plain'],
      },
    };
    expect(() => embedding(failing, tensor1d([0], 'int32'))).toThrow('words: broken');
    words.weight.dispose();
  });
});
