import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { conv2d, embedding, type Layer, linear, type ParamSource } from '@rass/nn';
import { describeOnBackends, expectClose, loadGolden } from '@rass/testkit';
import { loadParams, openCheckpoint, selectPrefix } from '@rass/weights';
import { type Tensor, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { updatedWeight } from './algebra/delta.ts';
import { asInTree, byKey, goldenState, host } from './golden.test-support.ts';
import { addAdapterState, mergeAdapters, mergeAndUnload, useAdapters } from './index.ts';

const file = join(import.meta.dirname, '../../../test-fixtures/golden/lora/stacks.safetensors');
const g = loadGolden('lora/stacks');

interface Options {
  readonly lora_alpha?: number;
  readonly use_rslora?: boolean;
}
const stacks: [string, Options[]][] = Object.entries(g.config.stacks);
const weights: number[] = g.config.weights;

const build = (from: ParamSource) => ({
  words: from.at('words').embedding(7, 4),
  out: from.at('out').linear(4, 6),
  conv: from.at('conv').conv2d(6, 5, { kernel: 3, padding: 1 }),
});
type Kinds = ReturnType<typeof build>;

const run = (p: Kinds): Tensor4D =>
  tidy(() => conv2d(p.conv, linear(p.out, embedding(p.words, g.tensor('in/ids')) as Tensor3D) as Tensor as Tensor4D));

const statesOf = (name: string, adapters: readonly Options[]) =>
  adapters.map(({ lora_alpha = 3, use_rslora: rsLora = false }, i) =>
    goldenState(g, () => lora_alpha, { rsLora, adapter: `a${i}`, under: `${name}/a/` }),
  );

async function stacked(name: string, adapters: readonly Options[]): Promise<Kinds> {
  const base = selectPrefix(await openCheckpoint(new Uint8Array(readFileSync(file))), 'w/');
  const { params } = await loadParams(base, build);
  return statesOf(name, adapters).reduce((tree, state, i) => addAdapterState(tree, state, { name: `a${i}` }), params);
}

describeOnBackends('adapters on one layer with DoRA among them', () => {
  it.each(stacks)("run and merge as peft's: %s", async (name, adapters) => {
    const tree = await stacked(name, adapters);
    const expected = g.tensor(`${name}/out/y`);
    await expectClose(run(tree), expected, { label: 'beside' });
    await expectClose(run(await mergeAdapters(tree)), expected, { label: 'merged' });
    const found = byKey(await mergeAndUnload(tree));
    for (const key of g.names(`${name}/merged/`).filter((each) => each.endsWith('weight')))
      await expectClose(found.get(key) as Tensor, asInTree(g, `${name}/merged/${key}`), { label: key });
  });

  it.each(stacks)("act with weights as peft's: %s", async (name, adapters) => {
    const tree = await stacked(name, adapters);
    const weighted = useAdapters(
      tree,
      adapters.map((_, i) => ({ name: `a${i}`, weight: weights[i] })),
    );
    const expected = g.tensor(`${name}/out/weighted`);
    await expectClose(run(weighted), expected, { label: 'beside' });
    await expectClose(run(await mergeAndUnload(weighted)), expected, { label: 'merged' });
  });

  it('run as they merge, by each rule, and change nothing with weight 0', async () => {
    const [name, adapters] = stacks.find(([each]) => each === 'dora-dora') as (typeof stacks)[number];
    const tree = await stacked(name, adapters);
    const outputs = [];
    for (const dora of ['peft', 'lycoris', 'comfyui'] as const) {
      const weighted = useAdapters(tree, [
        { name: 'a0', weight: 0.5, dora },
        { name: 'a1', weight: -0.25, dora },
      ]);
      const output = run(weighted);
      await expectClose(run(await mergeAndUnload(weighted)), output, { label: dora });
      outputs.push(`${await output.data()}`);
      const none = useAdapters(tree, [
        { name: 'a0', weight: 0, dora },
        { name: 'a1', weight: 0, dora },
      ]);
      await expectClose(run(none), run(useAdapters(tree, [])), { relative: 0, label: `${dora}, none` });
    }
    expect(new Set(outputs).size).toBe(3);
  });
});

it.each(stacks)("fold into weights on the host as peft's: %s", async (name, adapters) => {
  const states = statesOf(name, adapters);
  const layers: Layer['path'][] = ['words', 'out', 'conv'];
  for (const path of layers) {
    const base = host(g, `w/${path}.weight`);
    let data = base.data;
    for (const { layers: updates, rsLora } of states) {
      const update = updates.get(path);
      if (update !== undefined) data = updatedWeight(update, { ...base, data }, rsLora, 1, { base });
    }
    await expectClose(data, host(g, `${name}/merged/${path}.weight`).data, { label: path });
  }
});
