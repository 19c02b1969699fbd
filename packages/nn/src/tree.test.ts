import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { type Tensor, zerosLike } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  countParams,
  disposeParams,
  leaves,
  mapTensors,
  namedTensors,
  type ParamSource,
  randomParams,
  shapeParams,
  trainable,
  trainableTensors,
} from './index.ts';

const block = (from: ParamSource) => ({
  norm: from.at('norm').groupNorm(8, { groups: 2 }),
  convs: [
    from.at('convs').at(0).conv2d(8, 4, { padding: 1 }),
    from.at('convs.1').conv2d(4, 4, { kernel: 1, bias: false }),
  ],
  out: from.at('to_out').at(0).linear(4, 6),
  words: from.at('words').embedding(5, 4),
  scale: from.at('scale').parameter([4], { kind: 'constant', value: 2 }),
  heads: 2,
});

const KEYS = [
  'norm.weight',
  'norm.bias',
  'convs.0.weight',
  'convs.0.bias',
  'convs.1.weight',
  'to_out.0.weight',
  'to_out.0.bias',
  'words.weight',
  'scale',
];
const COUNT = 8 + 8 + (4 * 8 * 9 + 4) + 4 * 4 + (6 * 4 + 6) + 5 * 4 + 4;

it('counts and lists a tree over shapes alone', () => {
  const asked: string[] = [];
  const tree = block(shapeParams(({ key, checkpointShape }) => asked.push(`${key} ${checkpointShape.join('x')}`)));
  expect(countParams(tree)).toBe(COUNT);
  expect(namedTensors(tree).map(({ key }) => key)).toEqual(KEYS);
  expect(asked).toContain('convs.0.weight 4x8x3x3');
  expect(tree.convs[0].weight.shape).toEqual([3, 3, 8, 4]);
  expect(leaves(tree).map(({ path }) => path)).toEqual(['norm', 'convs.0', 'convs.1', 'to_out.0', 'words', 'scale']);
});

describeOnBackends('parameter trees', () => {
  it('start the same for the same seed, whatever was asked before', async () => {
    const whole = block(randomParams(7));
    const alone = randomParams(7).at('to_out.0').linear(4, 6);
    const other = randomParams(8).at('to_out.0').linear(4, 6);
    await expectClose(alone.weight, whole.out.weight, { relative: 0 });
    expect(Array.from(await other.weight.data())).not.toEqual(Array.from(await alone.weight.data()));
    const values = await whole.out.weight.data();
    expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(0.5);
    await expectClose(whole.norm.weight, new Float32Array(8).fill(1), { relative: 0 });
    for (const tree of [whole, alone, other]) disposeParams(tree);
  });

  it('start as a layer is told to', async () => {
    const values = Float32Array.of(1, -2);
    const from = randomParams(3);
    const { weight, bias } = from.at('a').linear(4, 2, {
      init: { weight: { kind: 'constant', value: 0 }, bias: { kind: 'values', values } },
    });
    const conv = from.at('b').conv2d(2, 2, { init: { bias: { kind: 'values', values } } });
    await expectClose(weight, new Float32Array(8), { relative: 0 });
    await expectClose(bias!, values, { relative: 0 });
    await expectClose(conv.bias!, values, { relative: 0 });
    disposeParams([conv, { kind: 'linear', path: 'a', weight, bias }]);
    expect(() => from.at('c').linear(4, 3, { init: { bias: { kind: 'values', values } } })).toThrow(
      'nn: initial values are as many as the tensor has, 3; got 2; give each',
    );
  });

  it('have normal values of the asked deviation', async () => {
    const { weight } = randomParams(3).at('words').embedding(500, 20, { kind: 'normal', deviation: 0.02 });
    const values = Array.from(await weight.data());
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
    expect(Math.abs(mean)).toBeLessThan(0.001);
    expect(deviation).toBeGreaterThan(0.0196);
    expect(deviation).toBeLessThan(0.0204);
    weight.dispose();
  });

  it('share what a map leaves alone', async () => {
    const tree = block(randomParams(1));
    const zeroed = mapTensors(
      tree,
      ({ key, tensor }): Tensor => (key.startsWith('convs') ? zerosLike(tensor) : tensor),
    );
    expect(zeroed.out).not.toBe(tree.out);
    expect(zeroed.out.weight).toBe(tree.out.weight);
    expect(zeroed.heads).toBe(2);
    await expectClose(zeroed.convs[0].weight, new Float32Array(288), { relative: 0 });
  });

  it('train what is chosen, and say when nothing is', async () => {
    const tree = block(randomParams(1));
    const training = trainable(tree, (key) => key.startsWith('to_out'));
    expect(Object.keys(trainableTensors(training))).toEqual(['to_out.0.weight', 'to_out.0.bias']);
    expect(trainableTensors(tree)).toEqual({});
    expect(training.norm.weight).toBe(tree.norm.weight);
    await expectClose(training.out.weight, tree.out.weight, { relative: 0 });
    expect(() => trainable(tree, () => false)).toThrow(
      'nn: at least one tensor is to be trained; none was chosen; keys look like norm.weight, norm.bias',
    );
  });

  it('train a tensor that stands in two places as one variable', () => {
    const shared = randomParams(1).at('words').embedding(5, 4);
    const { weight } = shared;
    const tied = { words: shared, again: shared, out: { kind: 'linear', path: 'out', weight } as const };
    const training = trainable(tied, (key) => key === 'out.weight');
    expect(training.words.weight).toBe(training.out.weight);
    expect(training.again.weight).toBe(training.out.weight);
    expect(training.out.weight).not.toBe(weight);
    expect(Object.keys(trainableTensors(training))).toEqual(['words.weight']);
    expect(Object.values(trainableTensors(training))).toEqual([training.out.weight]);
    disposeParams(training);
    disposeParams(tied);
  });

  it('dispose of everything', async () => {
    await expectNoLeaks(() => disposeParams(block(randomParams(2))));
  });
});
