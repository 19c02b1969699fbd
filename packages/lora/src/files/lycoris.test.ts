import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { leaves, type ParamSource } from '@rass/nn';
import { activateBackend, expectClose, expectNoLeaks, loadGolden } from '@rass/testkit';
import { encodeSafetensors, loadParams, openCheckpoint, selectPrefix } from '@rass/weights';
import { describe, expect, it } from 'vitest';
import { biasDelta, updatedWeight } from '../algebra/delta.ts';
import { convertToLora } from '../algebra/resize.ts';
import { mergeState } from '../convert.ts';
import { host } from '../golden.test-support.ts';
import type { AdapterState, HostTensor } from '../state.ts';
import { openAdapter } from './open-adapter.ts';
import { layerShapes } from './shapes.ts';

const golden = join(import.meta.dirname, '../../../../test-fixtures/golden/lora');
const g = loadGolden('lora/lycoris');
const bytesOf = (path: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(golden, path)));

function build(from: ParamSource) {
  const block = from.at('blocks').at(0);
  return {
    lin: block.at('lin').linear(12, 8),
    plain: block.at('plain').linear(8, 16, { bias: false }),
    conv: block.at('conv').conv2d(8, 16, { kernel: 3 }),
    convOut: block.at('conv_out').conv2d(6, 8, { kernel: 1 }),
    norm: block.at('norm').groupNorm(8, { groups: 2 }),
  };
}

async function model() {
  const base = selectPrefix(await openCheckpoint(bytesOf('lycoris.safetensors')), 'w/');
  return (await loadParams(base, build)).params;
}

const shapes = new Map(
  g
    .names('w/')
    .filter((key) => key.endsWith('.weight'))
    .map((key) => [key.slice(0, -'.weight'.length), g.raw(`w/${key}`).shape]),
);

/** The model's own tensors with the adapter in them, by key; those that it leaves alone are not there. */
function folded(state: AdapterState, strength = 1): Map<string, HostTensor> {
  const made = new Map<string, HostTensor>();
  for (const [path, update] of state.layers) {
    const weight = host(g, `w/${path}.weight`);
    const data = updatedWeight(update, weight, state.rsLora, strength, { dora: 'lycoris' });
    made.set(`${path}.weight`, { ...weight, data });
    const added = biasDelta(update, state.rsLora);
    if (added === undefined) continue;
    const bias = host(g, `w/${path}.bias`);
    made.set(`${path}.bias`, { ...bias, data: bias.data.map((value, i) => value + added.data[i]) });
  }
  return made;
}

describe("LyCORIS' own files", () => {
  it.each(Object.keys(g.config.cases))('fold as LyCORIS folds them: %s', async (name) => {
    const { adapters, report } = await openAdapter(bytesOf(`lycoris/${name}.safetensors`), { shapes });
    expect(report.format).toBe('kohya');
    const made = folded(adapters.default);
    const acting = (key: string) => g.raw(`out/${name}/${key}`).values;
    for (const [key, { data }] of made) await expectClose(data, acting(key), { label: key });
    // What the adapter leaves alone acts as the model's own.
    const weights = [...shapes.keys()].filter((path) => name === 'full' || path !== 'blocks.0.norm');
    expect([...adapters.default.layers.keys()].sort()).toEqual(weights.sort());
    for (const key of g.names('w/').filter((each) => !made.has(each) && g.has(`out/${name}/${each}`)))
      await expectClose(acting(key), g.raw(`w/${key}`).values, { label: key });
  });

  const doras = [...new Set(g.names('scaled/').map((name) => name.split('/')[0]))];
  it.each(doras)('are scaled by the rule of LyCORIS where that is chosen: %s', async (name) => {
    const { adapters } = await openAdapter(bytesOf(`lycoris/${name}.safetensors`), { shapes });
    for (const strength of g.config.multipliers as number[]) {
      for (const [key, { data }] of folded(adapters.default, strength)) {
        await expectClose(data, g.raw(`scaled/${name}/${strength}/${key}`).values, { label: `${strength} ${key}` });
      }
    }
    for (const [key, { data }] of folded(adapters.default, 0))
      expect([...data], key).toEqual([...g.raw(`w/${key}`).values]);
    await activateBackend('cpu');
    const base = await model();
    for (const dora of ['peft', 'lycoris', 'comfyui'] as const) {
      const none = await mergeState(base, adapters.default, { scale: 0, dora });
      await expectClose(none.conv.weight, base.conv.weight, { relative: 0 });
      await expectClose(none.lin.weight, base.lin.weight, { relative: 0 });
    }
  });

  it('fold into a tree, with differences of biases and norms, and nothing leaks', async () => {
    await activateBackend('cpu');
    const base = await model();
    expect(layerShapes(base)).toEqual(shapes);
    const { adapters } = await openAdapter(bytesOf('lycoris/full.safetensors'), { shapes: layerShapes(base) });
    const merged = await mergeState(base, adapters.default);
    await expectClose(merged.norm.bias, g.raw('out/full/blocks.0.norm.bias').values);
    await expectClose(merged.norm.weight, g.raw('out/full/blocks.0.norm.weight').values);
    await expectClose(merged.lin.bias as never, g.raw('out/full/blocks.0.lin.bias').values);
    await expectClose(merged.plain.weight, g.raw('out/full/blocks.0.plain.weight').values);
    const broken: AdapterState = {
      ...adapters.default,
      layers: new Map([
        ...adapters.default.layers,
        ['blocks.0.conv_out', { kind: 'diff', weight: { shape: [8, 6, 1, 1], data: new Float32Array(48).fill(NaN) } }],
      ]),
    };
    await expectNoLeaks(async () => {
      await expect(mergeState(base, broken)).rejects.toThrow(
        'lora: merged weights are finite; got NaN at 0 of blocks.0.conv_out.weight; the model is as it was; look at the adapter',
      );
    });
  });

  it('become plain LoRA with what they add to biases', async () => {
    const { adapters } = await openAdapter(bytesOf('lycoris/full.safetensors'), { shapes });
    const { state } = convertToLora(adapters.default, { rank: 72 });
    const expected = folded(adapters.default);
    for (const [key, { data }] of folded(state)) {
      await expectClose(data, (expected.get(key) as HostTensor).data, { label: key });
    }
    expect(folded(state).size).toBe(expected.size);
  });
});

describe("a difference of the bias in kohya's files", () => {
  const at = 'lora_unet_blocks_0_lin';
  const f32 = (shape: number[], ...data: number[]) => ({ dtype: 'F32' as const, shape, data: Float32Array.from(data) });
  const factors = {
    [`${at}.lora_down.weight`]: f32([1, 12], ...new Array(12).fill(1)),
    [`${at}.lora_up.weight`]: f32([8, 1], ...new Array(8).fill(1)),
    [`${at}.alpha`]: f32([], 4),
    [`${at}.diff_b`]: f32([8], 1, 2, 3, 4, 5, 6, 7, 8),
  };

  it('is added as it is, beside a product that is scaled', async () => {
    const paths = leaves(await model()).map(({ path }) => path);
    const { adapters } = await openAdapter(await encodeSafetensors(factors), { paths });
    const [update] = adapters.default.layers.values();
    expect([...(biasDelta(update) as HostTensor).data]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('means nothing beside LoHa', async () => {
    const pair = { a: f32([8, 1], ...new Array(8).fill(1)), b: f32([1, 12], ...new Array(12).fill(1)) };
    const loha = {
      [`${at}.hada_w1_a`]: pair.a,
      [`${at}.hada_w1_b`]: pair.b,
      [`${at}.hada_w2_a`]: pair.a,
      [`${at}.hada_w2_b`]: pair.b,
      [`${at}.diff_b`]: factors[`${at}.diff_b`],
    };
    await expect(openAdapter(await encodeSafetensors(loha), { shapes })).rejects.toThrow(`unused (1):\n  ${at}.diff_b`);
  });
});
