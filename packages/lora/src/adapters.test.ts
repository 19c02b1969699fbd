import {
  conv2d,
  countParams,
  disposeParams,
  embedding,
  groupNorm,
  linear,
  namedTensors,
  normalNoise,
  type ParamSource,
  randomParams,
  shapeParams,
  trainableTensors,
} from '@rass/nn';
import { describeOnBackends, expectClose, expectNoLeaks } from '@rass/testkit';
import { parseUnetConfig, unetParams } from '@rass/unet';
import {
  add,
  concat,
  mean,
  memory,
  mul,
  profile,
  reshape,
  type Scalar,
  split,
  square,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  tensor,
  tensor2d,
  tidy,
  train,
  variableGrads,
} from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { RASS_TARGETS } from './golden.test-support.ts';
import {
  adapterNames,
  adapterState,
  addAdapter,
  addAdapterState,
  describeAdapters,
  type LoraOptions,
  type LoraUpdate,
  mergeAdapters,
  mergeAndUnload,
  mergeState,
  removeAdapter,
  trainAdapters,
  unloadAdapters,
  unmergeAdapters,
  useAdapters,
  withDropout,
} from './index.ts';

const modelParams = (from: ParamSource) => ({
  words: from.at('words').embedding(5, 4),
  blocks: [
    {
      conv: from.at('blocks.0.conv').conv2d(4, 6, { padding: 1, stride: 2 }),
      norm: from.at('blocks.0.norm').groupNorm(6, { groups: 2 }),
    },
    {
      conv: from.at('blocks.1.conv').conv2d(6, 6, { kernel: 1 }),
      norm: from.at('blocks.1.norm').groupNorm(6, { groups: 2 }),
    },
  ],
  out: from.at('out').linear(6, 3),
  scale: from.at('scale').parameter([1], { kind: 'constant', value: 1 }),
});
type Model = ReturnType<typeof modelParams>;

const ids = (): Tensor =>
  tensor(
    Int32Array.from({ length: 24 }, (_, i) => i % 5),
    [1, 4, 6],
    'int32',
  );

const model = (p: Model): Tensor2D =>
  tidy(() => {
    let x = embedding(p.words, ids()) as Tensor4D;
    for (const { conv, norm } of p.blocks) x = groupNorm(norm, conv2d(conv, x), 'silu');
    return linear(p.out, reshape(x, [-1, 6]) as Tensor2D);
  });

const ALL = ['words', 'conv', 'out'];

/** A tree whose adapter no longer starts as the identity. */
async function moved(base: Model, options: Partial<LoraOptions> = {}, name = 'default'): Promise<Model> {
  const tree = await addAdapter(base, { targets: ALL, rank: 2, ...options }, { name, seed: 3 });
  const training = trainAdapters(tree, [name]);
  for (const [i, variable] of Object.values(trainableTensors(training)).entries()) {
    const noise = randomParams(i + 7)
      .at('noise')
      .parameter(variable.shape, { kind: 'normal', deviation: 0.3 }).value;
    variable.assign(add(variable, noise));
  }
  return training;
}

describeOnBackends('adapters on a model', (backend) => {
  it.each([{ init: 'pissa' }, { init: { pissaIterations: 4 } }, { init: 'olora' }, { init: 'orthogonal' }] as const)(
    'start from the weight as the identity, and act on the original base when taken off: %o',
    async (options) => {
      const base = modelParams(randomParams(1));
      const before = model(base);
      const targets = ['conv', 'out'];
      const tree = await addAdapter(base, { targets, rank: 2, alpha: 3, ...options });
      await expectClose(model(tree), before, { relative: 1e-5 });
      const takesOut = options.init !== 'orthogonal';
      expect(tree.out.weight === base.out.weight).toBe(!takesOut);
      await expectClose(model(await mergeAndUnload(tree)), before, { relative: 1e-5 });
      for (const rsLora of [false, true]) {
        const changed = await moved(base, { targets, rsLora, ...options });
        const after = model(changed);
        expect(Array.from(await after.data())).not.toEqual(Array.from(await before.data()));
        const state = await adapterState(changed);
        const [update] = state.layers.values();
        expect((update as LoraUpdate).down.shape[0]).toBe(takesOut ? 4 : 2);
        await expectClose(model(addAdapterState(base, state)), after, { label: 'on the original base' });
        await expectClose(model(removeAdapter(changed, 'default')), before, { relative: 1e-5, label: 'removed' });
      }
    },
  );

  it.each([
    {},
    { init: 'gaussian' },
    { rsLora: true },
    { dora: true },
    { modulesToSave: ['norm', 'blocks.0.conv'] },
    { bias: 'all', targets: ['conv', 'out'], loraBias: true },
  ] as const)('start as the identity and move in one step: %o', async (options) => {
    const base = modelParams(randomParams(1));
    const tree = await addAdapter(base, { targets: ALL, rank: 2, ...options });
    const [before, start] = [model(base), model(tree)];
    await expectClose(start, before, { relative: 1e-5 });
    const training = trainAdapters(tree);
    const optimizer = train.sgd(0.1);
    optimizer.minimize(
      () =>
        sum(
          mul(
            model(training),
            tensor2d(
              Array.from({ length: 18 }, (_, i) => i % 4),
              [6, 3],
            ),
          ),
        ) as Scalar,
      false,
      Object.values(trainableTensors(training)),
    );
    const [after, still] = [model(training), model(base)];
    expect(Array.from(await after.data())).not.toEqual(Array.from(await before.data()));
    await expectClose(still, before, { relative: 0 });
    expect(training.blocks[0].conv.weight).toBe(base.blocks[0].conv.weight);
  });

  it.each([
    {},
    { rsLora: true },
    { dora: true },
    { modulesToSave: ['norm', 'blocks.0.conv'] },
    { bias: 'all', targets: ['conv', 'out'], loraBias: true },
  ] as const)('survive being taken off and laid on, merge to the same, and come off exactly: %o', async (options) => {
    const base = modelParams(randomParams(1));
    const tree = await moved(base, options);
    const expected = model(tree);
    const state = await adapterState(tree);
    await expectClose(model(addAdapterState(base, state)), expected, { relative: 1e-6, label: 'laid on' });
    await expectClose(model(await mergeState(base, state)), expected, { label: 'folded in' });
    const merged = await mergeAdapters(tree);
    await expectClose(model(merged), expected, { label: 'merged' });
    await expectClose(model(unmergeAdapters(merged)), expected, { relative: 0, label: 'unmerged' });
    await expectClose(model(unloadAdapters(tree)), model(base), { relative: 0, label: 'unloaded' });
    const plain = await mergeAndUnload(tree);
    expect(adapterNames(plain)).toEqual([]);
    expect(namedTensors(plain).map(({ key }) => key)).toEqual(namedTensors(base).map(({ key }) => key));
    await expectClose(model(plain), expected, { label: 'merged and unloaded' });
  });

  it('act with weights, by block, convolutions too', async () => {
    const base = modelParams(randomParams(1));
    const tree = await moved(base);
    const [none, whole] = [await model(base).data(), await model(tree).data()];
    expect(Array.from(none)).not.toEqual(Array.from(whole));
    const conv = tree.blocks[1].conv;
    const x = randomParams(5).at('x').parameter<Tensor4D>([1, 2, 2, 6], { kind: 'normal', deviation: 1 }).value;
    const at = (p: Model): Tensor4D => conv2d(p.blocks[1].conv, x);
    const half = at(useAdapters(tree, [{ name: 'default', weight: 0.25, blocks: { 'blocks.1': 0.5, blocks: 0 } }]));
    const middle = tidy(() => mul(add(conv2d({ ...conv, adapter: undefined }, x), at(tree)), 0.5));
    await expectClose(half, middle);
    const off = useAdapters(tree, [{ name: 'default', blocks: { words: 0, blocks: 0, out: 0 } }]);
    await expectClose(model(off), none, { relative: 0 });
    const negative = at(useAdapters(tree, [{ name: 'default', weight: -1 }]));
    await expectClose(
      tidy(() => mul(add(negative, at(tree)), 0.5)),
      conv2d({ ...conv, adapter: undefined }, x),
    );
  });

  it('add up, and are removed one by one', async () => {
    const base = modelParams(randomParams(1));
    const one = await moved(base, { targets: ['out'] }, 'one');
    const both = await moved(one, { targets: ['out', 'conv'], dora: true }, 'two');
    const all = new Map(describeAdapters(both).map((each) => [each.name, each]));
    const acting = { active: true, merged: false };
    expect(all.get('one')).toEqual({ name: 'one', layers: 1, parameters: 2 * (6 + 3), ...acting });
    const parameters = 2 * (6 + 3) + 3 + 2 * (36 + 6) + 6 + 2 * (6 + 6) + 6;
    expect(all.get('two')).toEqual({ name: 'two', layers: 3, parameters, ...acting });
    await expectClose(model(await mergeAdapters(both)), model(both));
    const expected = await model(one).data();
    const left = removeAdapter(both, 'two');
    expect(adapterNames(left)).toEqual(['one']);
    await expectClose(model(left), expected, { relative: 0 });
  });

  it('are freed with their tree, and leave nothing behind', async () => {
    const base = modelParams(randomParams(1));
    await expectNoLeaks(async () => {
      const tree = await addAdapter(base, { targets: ALL, dora: true, modulesToSave: ['norm'] });
      model(tree).dispose();
      const merged = await mergeAdapters(tree);
      model(merged).dispose();
      const back = unmergeAdapters(merged);
      removeAdapter(back, 'default');
    });
    disposeParams(base);
  });

  it('merge in place of the base where it is consumed', async () => {
    const base = modelParams(randomParams(1));
    const tree = await moved(base);
    const expected = await model(tree).data();
    const before = memory().numTensors;
    const merged = await mergeAndUnload(tree, { consume: true });
    // Two factors for each of four layers are gone; every weight and bias has another in its place.
    expect(memory().numTensors - before).toBe(-8);
    await expectClose(model(merged), expected);
    expect(base.out.weight.isDisposed).toBe(true);
  });

  it('drop inputs, ranks and layers by the step, the same in a step that is computed again', async () => {
    const base = modelParams(randomParams(1));
    for (const options of [{ dropout: 0.5 }, { rankDropout: 0.5 }, { moduleDropout: 0.5 }]) {
      const tree = await moved(base, { ...options, targets: ['conv', 'out'] });
      const run = async (seed?: number) => Array.from(await model(withDropout(tree, seed)).data());
      const steps = await Promise.all([1, 2, 3, 4, 5, 6].map(run));
      expect(await run(1)).toEqual(steps[0]);
      expect(new Set(steps.map(String)).size, JSON.stringify(options)).toBeGreaterThan(2);
      expect(await run()).toEqual(Array.from(await model(tree).data()));
      await expect(mergeAdapters(withDropout(tree, 1))).rejects.toThrow(
        'lora: blocks.0.conv: a layer with dropout is no one layer; got adapter "default" in training; set its dropout to 0',
      );
    }
  });

  // Thousands of passes, which the software GPU would take minutes for.
  const onlyFast = backend === 'webgpu' ? [] : [4000];
  it.each(onlyFast)('keep the mean under dropout of ranks, over %d steps', async (steps) => {
    const base = modelParams(randomParams(1));
    const tree = await moved(base, { rankDropout: 0.5, rank: 4, targets: ['out'] });
    const expected = await model(tree).data();
    const total = new Float64Array(expected.length);
    for (let seed = 0; seed < steps; seed++) {
      const values = await model(withDropout(tree, seed)).data();
      for (let i = 0; i < total.length; i++) total[i] += values[i] / steps;
    }
    await expectClose(Array.from(total), Array.from(expected), { relative: 0.05 });
  });

  // The same operations on all of them, of which the others take long.
  const both = backend === 'native' ? [{}, { dora: true }] : [];
  it.each(both)(
    'give the same beside a layer and in its weight, gradients too: %o',
    async (options) => {
      // Of a batch of many rows the products are a branch beside the layer, of one of few they are added to its weight.
      const MANY = 9216;
      const base = {
        out: randomParams(1).at('out').linear(56, 56),
        conv: randomParams(2).at('conv').conv2d(20, 20, { kernel: 3, padding: 1 }),
      };
      const tree = trainAdapters(
        await addAdapter(base, { targets: ['out', 'conv'], rank: 2, init: 'orthogonal', ...options }, { seed: 3 }),
        ['default'],
      );
      const { out, conv } = tree;
      const rows = normalNoise([MANY, 56], 4);
      const image = normalNoise([9, 32, 32, 20], 5);
      const inPieces = (run: (x: Tensor) => Tensor, x: Tensor): Tensor =>
        tidy(() => concat(split(x, 9).map((piece) => run(piece))));
      const isBranch = async (run: () => Tensor): Promise<boolean> => {
        const { kernels } = await profile(run);
        const rowsOf = (shape: readonly number[]) => shape.slice(0, -1).reduce((product, side) => product * side, 1);
        return kernels.some(({ outputShapes }) =>
          outputShapes.some((each) => each.at(-1) === 2 && rowsOf(each) >= 1024),
        );
      };
      for (const [run, x] of [
        [(each: Tensor) => linear(out, each), rows],
        [(each: Tensor) => conv2d(conv, each as Tensor4D), image],
      ] as const) {
        await expectClose(inPieces(run, x), run(x), { relative: 1e-5 });
        const gradients = (apply: (each: Tensor) => Tensor) =>
          variableGrads(() => mean(square(apply(x))) as Scalar, Object.values(trainableTensors(tree))).grads;
        const [beside, inside] = [gradients(run), gradients((each) => inPieces(run, each))];
        expect(Object.keys(beside).length).toBeGreaterThan(1);
        for (const [key, gradient] of Object.entries(beside))
          await expectClose(inside[key]!, gradient, { relative: 1e-4 });
        expect(await isBranch(() => run(x))).toBe(true);
        expect(await isBranch(() => inPieces(run, x))).toBe(false);
      }
    },
    60_000,
  );

  it('train the second factor alone where the first is frozen', async () => {
    const tree = await addAdapter(modelParams(randomParams(1)), { targets: ['out', 'words'] });
    const keys = Object.keys(trainableTensors(trainAdapters(tree, undefined, { freezeDown: true })));
    expect(keys).toEqual(['words.lora_embedding_B.default', 'out.lora_B.default.weight']);
    const training = trainAdapters(tree);
    const { value, grads } = variableGrads(() => sum(model(training)) as Scalar);
    expect(Object.keys(grads).length).toBe(4);
    value.dispose();
  });

  it('of which a value is not finite are not merged, and the model stays', async () => {
    const tree = await moved(modelParams(randomParams(1)), { targets: ['out'] });
    const [down] = Object.values(trainableTensors(tree));
    const values = await down.data();
    values[3] = Number.NaN;
    down.assign(tensor(values, down.shape));
    const before = memory().numTensors;
    await expect(mergeAdapters(tree)).rejects.toThrow(
      /^lora: merged weights are finite; got NaN at \d+ of out.weight; the model is as it was; look at the adapter$/,
    );
    await expect(mergeAndUnload(tree, { consume: true })).rejects.toThrow('lora: merged weights are finite; got NaN');
    expect(memory().numTensors).toBe(before);
    expect(adapterNames(await mergeAndUnload(tree, { allowNonFinite: true }))).toEqual([]);
  });
});

describe("RASS's adapters at full size", () => {
  const config = parseUnetConfig({
    sample_size: 64,
    cross_attention_dim: 1024,
    attention_head_dim: [5, 10, 20, 20],
    use_linear_projection: true,
  });
  const from = shapeParams();

  it('have 4,044,176 parameters on 257 weights, and conv_in 11,840', async () => {
    const base = unetParams(from, config);
    const tree = await addAdapter(base, { targets: RASS_TARGETS, rank: 4 }, { from });
    expect(describeAdapters(tree)).toEqual([
      { name: 'default', layers: 257, parameters: 4_044_176, active: true, merged: false },
    ]);
    const whole = await addAdapter(base, { targets: RASS_TARGETS, rank: 4, modulesToSave: ['conv_in'] }, { from });
    expect(describeAdapters(whole)[0].parameters - 4_044_176).toBe(11_840);
    const withLast = await addAdapter(base, { targets: [...RASS_TARGETS, 'conv_out'], rank: 4 }, { from });
    expect(describeAdapters(withLast)[0]).toMatchObject({ layers: 258, parameters: 4_055_712 });
    expect(countParams(tree) - countParams(base)).toBe(4_044_176);
  });

  it('are the same in three: on the way down, on the way up, and the rest', async () => {
    let tree = unetParams(from, config);
    const patterns = { encoder: '(down_blocks\\..*|conv_in)', decoder: 'up_blocks\\..*', others: 'mid_block\\..*' };
    const names = RASS_TARGETS.map((name) => name.replaceAll('.', '\\.')).join('|');
    for (const [name, place] of Object.entries(patterns)) {
      tree = await addAdapter(tree, { targets: `(?=${place}$)(.*\\.)?(${names})`, rank: 4 }, { name, from });
    }
    const all = describeAdapters(tree);
    expect(all.map(({ name }) => name).sort()).toEqual(['decoder', 'encoder', 'others']);
    expect(all.reduce((total, { parameters }) => total + parameters, 0)).toBe(4_044_176);
    expect(all.reduce((total, { layers }) => total + layers, 0)).toBe(257);
  });
});
