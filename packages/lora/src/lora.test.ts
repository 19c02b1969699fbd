import { disposeParams, type Embedding, embedding, type Linear, linear, trainableTensors } from '@rass/nn';
import { describeOnBackends, expectClose, loadGolden } from '@rass/testkit';
import {
  mul,
  type Scalar,
  sum,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  tidy,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { asInTree, baseUnet, byKey, goldenOutput, goldenState, runUnet } from './golden.test-support.ts';
import {
  addAdapterState,
  mergeAdapters,
  mergeAndUnload,
  trainAdapters,
  unmergeAdapters,
  useAdapters,
} from './index.ts';

const CASES = {
  plain: { alpha: () => 8, rsLora: false },
  rslora: { alpha: () => 2, rsLora: true },
  dora: { alpha: () => 3, rsLora: false },
  bias: { alpha: () => 4, rsLora: false },
  patterns: {
    alpha: (path: string) => (path.endsWith('attn2.to_q') ? 1 : path.endsWith('ff.net.2') ? 16 : 4),
    rsLora: false,
  },
};

/** Where the tree keeps a bias that peft trains in its place. */
const treeKey = (key: string): string =>
  /lora_|modules_to_save/.test(key) ? key : key.replace(/(\.base_layer)?\.bias$/, '.modules_to_save.default.bias');

const LONG = 600_000;

describeOnBackends('LoRA against peft', (backend) => {
  let base: Awaited<ReturnType<typeof baseUnet>>;
  beforeAll(async () => {
    base = await baseUnet();
  });
  afterAll(() => disposeParams(base));

  it.each(Object.entries(CASES).slice(0, backend === 'webgpu' ? 1 : 4))(
    '%s: output, merged weights, merged output',
    async (name, { alpha, rsLora }) => {
      const g = loadGolden(`lora/${name}`);
      const tree = addAdapterState(base, goldenState(g, alpha, { rsLora }));
      const out = runUnet(tree, g);
      await expectClose(out, goldenOutput(g, 'out/sample'), { label: 'with the adapter' });
      const merged = await mergeAdapters(tree);
      const weights = loadGolden(`lora/${name}-merged`);
      const found = byKey(await mergeAndUnload(tree));
      for (const key of weights.names('w/')) {
        await expectClose(found.get(key) as Tensor, asInTree(weights, `w/${key}`), { label: key });
      }
      await expectClose(runUnet(merged, g), goldenOutput(g, 'out/merged'), { label: 'merged' });
      await expectClose(runUnet(merged, g), out, { label: 'merged against unmerged' });
      const back = unmergeAdapters(merged);
      expect(Array.from(await runUnet(back, g).data())).toEqual(Array.from(await out.data()));
      const plain = runUnet(base, g);
      await expectClose(runUnet(useAdapters(back, []), g), plain, { relative: 0 });
      expect(Array.from(await plain.data())).not.toEqual(Array.from(await out.data()));
    },
    LONG,
  );

  // On WebGPU's software adapter one case, with every kind of layer and of gradient, takes as long as all of the others.
  it.each(backend === 'webgpu' ? ['dora'] : Object.keys(CASES))(
    '%s: gradients by every tensor of the adapter, and by nothing else',
    async (name) => {
      const { alpha, rsLora } = CASES[name as keyof typeof CASES];
      const g = loadGolden(`lora/${name}`);
      const tree = trainAdapters(addAdapterState(base, goldenState(g, alpha, { rsLora })));
      const variables = trainableTensors(tree);
      const dy = goldenOutput(g, 'in/dy');
      const { value, grads } = variableGrads(() => sum(mul(runUnet(tree, g), dy)) as Scalar);
      const keys = new Map(g.names('a/').map((key) => [treeKey(key), key]));
      expect(Object.keys(variables).sort()).toEqual([...keys.keys()].sort());
      expect(Object.keys(grads).length).toBe(g.names('a/').length);
      for (const [key, variable] of Object.entries(variables)) {
        const expected = asInTree(g, `grad/${keys.get(key)}`);
        await expectClose(grads[variable.name], expected, { relative: 1e-3, label: key });
      }
      value.dispose();
      for (const each of Object.values(grads)) each.dispose();
    },
    LONG,
  );

  it('together: several adapters on one base, alone, both, none, and a layer of one adapter alone', async () => {
    const g = loadGolden('lora/together');
    const first = addAdapterState(
      base,
      goldenState(g, () => 8),
    );
    await expectClose(runUnet(first, g), goldenOutput(g, 'out/first'));
    const both = addAdapterState(
      first,
      goldenState(g, () => 1, { adapter: 'second' }),
      { name: 'second' },
    );
    await expectClose(runUnet(both, g), goldenOutput(g, 'out/both'));
    const alone = useAdapters(both, ['second']);
    await expectClose(runUnet(alone, g), goldenOutput(g, 'out/second'));
    await expectClose(runUnet(useAdapters(both, []), g), goldenOutput(g, 'out/none'));
    await expectClose(runUnet(useAdapters(both, ['default']), g), goldenOutput(g, 'out/first'));
  });

  it.each(['plain', 'dora'])('on an embedding: %s', async (name) => {
    const g = loadGolden(`lora/embedding-${name}`);
    const words = { kind: 'embedding', path: 'words', weight: g.tensor('w/words.weight') as Tensor2D } as const;
    const out = {
      kind: 'linear',
      path: 'out',
      weight: g.tensor('w/out.weight') as Tensor2D,
      bias: g.tensor('w/out.bias') as Tensor1D,
    } as const;
    const ids = g.tensor('in/ids');
    const run = (p: { words: Embedding; out: Linear }): Tensor => tidy(() => linear(p.out, embedding(p.words, ids)));
    const laid = addAdapterState(
      { words, out },
      goldenState(g, () => 3),
    ) as { words: Embedding; out: Linear };
    const tree = trainAdapters(laid);
    await expectClose(run(tree), g.tensor('out/y'));
    const merged = await mergeAndUnload(tree);
    await expectClose(merged.words.weight, g.tensor('out/words'));
    await expectClose(run(merged), g.tensor('out/y'));
    const { value, grads } = variableGrads(() => sum(mul(run(tree), g.tensor('in/dy'))) as Scalar);
    for (const [key, variable] of Object.entries(trainableTensors(tree))) {
      await expectClose(grads[variable.name], asInTree(g, `grad/${key}`), { relative: 1e-3, label: key });
    }
    expect(Object.keys(grads).length).toBe(g.names('a/').length);
    value.dispose();
  });
});
