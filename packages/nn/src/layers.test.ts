import { describeOnBackends, expectClose, expectNoLeaks, type Golden, loadGolden } from '@rass/testkit';
import {
  grads,
  mul,
  sum,
  type Tensor,
  tensor1d,
  tensor2d,
  tensor3d,
  tensor4d,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  conv2d,
  embedding,
  gegluFeedForward,
  gegluFeedForwardParams,
  linear,
  mapTensors,
  multiHeadAttention,
  namedTensors,
  ParamSource,
} from './index.ts';

/** A source over the weights of a golden case. */
function goldenSource(golden: Golden): ParamSource {
  return new ParamSource(({ key, layout }) => {
    const t = golden.tensor(`w/${key}`);
    return layout === 'conv2d' ? transpose(t, [2, 3, 1, 0]) : t;
  });
}

/** Compares a module's output and the gradients of its inputs and of every weight with the golden case. */
async function expectModule<Tree>(
  golden: Golden,
  params: Tree,
  inputs: string[],
  run: (p: Tree, ...xs: Tensor[]) => Tensor,
): Promise<void> {
  const xs = inputs.map((name) => golden.tensor(`in/${name}`));
  const weights = namedTensors(params);
  await expectClose(run(params, ...xs), golden.tensor('out/y'));
  const dy = golden.tensor('in/dy');
  const loss = (...args: Tensor[]): Tensor => {
    const at = new Map(weights.map(({ key }, i) => [key, args[xs.length + i]]));
    const tree = mapTensors(params, ({ key }) => at.get(key) as Tensor);
    return sum(mul(run(tree, ...args.slice(0, xs.length)), dy));
  };
  const all = [...xs, ...weights.map(({ tensor }) => tensor)];
  const names = [...inputs, ...weights.map(({ key }) => `w/${key}`)];
  const ds = grads(loss)(all);
  for (let i = 0; i < names.length; i++)
    await expectClose(ds[i], golden.tensor(`grad/${names[i]}`), { relative: 1e-3, label: names[i] });
}

describeOnBackends('layers', () => {
  it("cross-attention equals diffusers' Attention, gradients and probabilities too", async () => {
    const golden = loadGolden('nn/cross-attention');
    const { width, context, heads } = golden.config;
    const from = goldenSource(golden);
    const bare = { bias: false };
    const params = {
      q: from.at('to_q').linear(width, width, bare),
      k: from.at('to_k').linear(context, width, bare),
      v: from.at('to_v').linear(context, width, bare),
      out: from.at('to_out').at(0).linear(width, width),
      heads,
    };
    const attend = (p: typeof params, x: Tensor, c: Tensor, probabilities = false) =>
      multiHeadAttention(p, x as never, { context_BSD: c as never, probabilities });
    await expectModule(golden, params, ['x', 'context'], (p, x, c) => attend(p, x, c).out);
    const both = attend(params, golden.tensor('in/x'), golden.tensor('in/context'), true);
    await expectClose(both.out, golden.tensor('out/y'));
    const expected = loadGolden('nn/cross-attention-probabilities').tensor('out/probabilities');
    await expectClose(both.probabilities as Tensor, expected);
  });

  it("the feed-forward network equals diffusers' FeedForward, gradients too", async () => {
    const golden = loadGolden('nn/geglu-feed-forward');
    const params = gegluFeedForwardParams(goldenSource(golden), golden.config.width);
    await expectModule(golden, params, ['x'], (p, x) => gegluFeedForward(p, x as never));
    const x = golden.tensor('in/x');
    await expectNoLeaks(() => tidy(() => void gegluFeedForward(params, x as never)));
  });

  it('looks rows up by number', async () => {
    const table = { kind: 'embedding' as const, path: 'words', weight: tensor2d([0, 1, 10, 11, 20, 21], [3, 2]) };
    await expectClose(
      embedding(table, tensor2d([2, 0, 2], [1, 3], 'int32')),
      tensor3d([20, 21, 0, 1, 20, 21], [1, 3, 2]),
    );
  });

  it('convolves by hand: a 2 x 2 sum over one channel', async () => {
    const weight = tensor4d([1, 1, 1, 1], [2, 2, 1, 1]);
    const layer = { kind: 'conv2d' as const, path: 'conv', weight, bias: tensor1d([0.5]), stride: 1, padding: 0 };
    await expectClose(conv2d(layer, tensor4d([1, 2, 3, 4, 5, 6], [1, 2, 3, 1])), tensor4d([12.5, 16.5], [1, 1, 2, 1]));
  });

  it("puts the layer's path before an error", () => {
    const layer = { kind: 'linear' as const, path: 'mid_block.attentions.0.proj_in', weight: tensor2d([1, 2], [1, 2]) };
    expect(() => linear(layer, tensor2d([1, 2, 3], [1, 3]))).toThrow(
      'mid_block.attentions.0.proj_in: linear: the last axis of x',
    );
  });
});
