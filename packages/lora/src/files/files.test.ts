import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectClose, loadGolden } from '@rass/testkit';
import { encodeSafetensors, fromFloat32, openCheckpoint } from '@rass/weights';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { host } from '../algebra/golden.test-support.ts';
import { openAdapter, saveAdapter } from '../node.ts';
import type { AdapterState, HostTensor, LoraUpdate } from '../state.ts';
import { files, ORIGINAL, paths, Q, Q_, shapeTree, tensors } from './files.test-support.ts';
import { openAdapter as openBytes } from './open-adapter.ts';
import { parsePeftConfig } from './peft-config.ts';
import { layerShapes } from './shapes.ts';
import { encodeAdapter } from './write-adapter.ts';

const g = loadGolden('lora/files');

/** What the case's adapter holds, by peft's names within the model. */
function expectedTensors(name: string): Map<string, HostTensor> {
  return new Map(g.names(`${name}/`).map((key) => [key, host(g, `${name}/${key}`)]));
}

async function expectHeld(state: AdapterState, name: string, relative = 0): Promise<void> {
  const expected = expectedTensors(name);
  // PEFT keeps the bias of a layer with factors one step further down.
  const own = [...state.whole].map(([key, value]): [string, HostTensor] => {
    const path = key.replace(/\.bias$/, '');
    return [state.layers.has(path) ? `${path}.base_layer.bias` : key, value];
  });
  const found = new Map<string, HostTensor>(own);
  for (const [path, update] of state.layers) {
    const { down, up, upBias, magnitude, embedding } = update as LoraUpdate;
    if (upBias !== undefined) found.set(`${path}.lora_B.bias`, upBias);
    found.set(embedding ? `${path}.lora_embedding_A` : `${path}.lora_A.weight`, down);
    found.set(embedding ? `${path}.lora_embedding_B` : `${path}.lora_B.weight`, up);
    if (magnitude !== undefined) found.set(`${path}.lora_magnitude_vector`, magnitude);
  }
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [key, value] of expected) {
    const { shape, data } = found.get(key) as HostTensor;
    if (!key.includes('magnitude')) expect(shape, key).toEqual(value.shape);
    await expectClose(data, value.data, { relative, label: key });
  }
}

const only = (adapters: Readonly<Record<string, AdapterState>>): AdapterState => {
  expect(Object.keys(adapters)).toEqual(['default']);
  return adapters.default;
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rass-lora-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('adapters that others wrote', () => {
  it.each(['plain', 'rslora', 'dora', 'whole', 'bias-all', 'bias-lora'])(
    "are read: peft's folder, %s",
    async (name) => {
      const { adapters, report } = await openAdapter(join(files, `peft-${name}`), { paths });
      const state = only(adapters);
      await expectHeld(state, name);
      expect(report.format).toBe('peft');
      expect(report.used.length).toBe(expectedTensors(name).size);
      expect(state.rsLora).toBe(name === 'rslora');
      const conv = state.layers.get('up_blocks.1.resnets.0.conv2') as LoraUpdate;
      const projection = state.layers.get('up_blocks.1.attentions.0.proj_in') as LoraUpdate;
      expect([conv.alpha, conv.down.shape[0], projection.alpha]).toEqual(name === 'dora' ? [3, 1, 5] : [3, 2, 3]);
      expect(state.config?.init).toBe(name === 'whole' ? 'gaussian' : 'default');
    },
  );

  it("are read: peft's file itself, with the configuration beside it, and by the shapes of the model", async () => {
    const file = join(files, 'peft-plain', 'adapter_model.safetensors');
    const { adapters } = await openAdapter(file, { shapes: layerShapes(shapeTree) });
    await expectHeld(only(adapters), 'plain');
    expect((adapters.default.layers.get('up_blocks.1.resnets.0.conv2') as LoraUpdate).alpha).toBe(3);
    const bytes = new Uint8Array(await readFile(file));
    await expect(openBytes(bytes)).rejects.toThrow(
      'PEFT keeps alpha in adapter_config.json; got none; open the folder, or give config',
    );
    const config = JSON.parse(await readFile(join(files, 'peft-plain', 'adapter_config.json'), 'utf8'));
    await expectHeld(only((await openBytes(bytes, { config })).adapters), 'plain');
  });

  it('are read: names of adapters within keys, as peft has them in a model', async () => {
    const keys = {
      [`${Q}.lora_A.default_encoder_s2.weight`]: [2, 8],
      [`${Q}.lora_B.default_encoder_s2.weight`]: [8, 2],
    };
    const { adapters } = await openBytes(await tensors(keys), { paths });
    expect(Object.keys(adapters)).toEqual(['default_encoder_s2']);
    expect([...adapters.default_encoder_s2.layers.keys()]).toEqual([Q]);
  });

  it('are read: layers trained whole by the name of what they are in', async () => {
    const { adapters } = await openAdapter(join(files, 'peft-container'), { paths });
    const state = only(adapters);
    await expectHeld(state, 'container');
    expect(state.config).toMatchObject({
      modulesToSave: ['time_embedding'],
      layers: [0],
      layersPattern: ['attentions', 'resnets'],
      about: { revision: 'fp16' },
    });
    expect([...state.whole.keys()].sort()).toEqual(
      ['linear_1.bias', 'linear_1.weight', 'linear_2.bias', 'linear_2.weight'].map((key) => `time_embedding.${key}`),
    );
  });

  it("are read: peft's embedding", async () => {
    await expectHeld(only((await openAdapter(join(files, 'peft-embedding'))).adapters), 'embedding');
  });

  it.each([
    ['diffusers.safetensors', 3],
    // Without an alpha it is the rank.
    ['diffusers-old.safetensors', 2],
  ])("are read: diffusers', %s", async (file, alpha) => {
    const { adapters, report } = await openAdapter(join(files, file), { paths });
    await expectHeld(only(adapters), 'plain');
    expect(new Set([...adapters.default.layers.values()].map((update) => (update as LoraUpdate).alpha))).toEqual(
      new Set([alpha]),
    );
    expect(report.format).toBe('diffusers');
    if (file === 'diffusers.safetensors') {
      expect(
        Object.fromEntries(Object.entries(report.otherComponents).map(([name, keys]) => [name, keys.length])),
      ).toEqual({ text_encoder: 2 });
      const text = await openAdapter(join(files, file), { component: 'text_encoder' });
      expect([...text.adapters.default.layers.keys()]).toEqual(['text_model.encoder.layers.0.self_attn.q_proj']);
    }
  });

  it("are read: kohya's half-precision file, by the model's own paths", async () => {
    const { adapters, report } = await openAdapter(join(files, 'kohya.safetensors'), { paths });
    expect(report.format).toBe('kohya');
    const state = only(adapters);
    for (const [path, update] of state.layers) {
      const { down, up, alpha } = update as LoraUpdate;
      expect(alpha).toBe(2);
      await expectClose(
        down.data,
        host(g, `plain/${path}.lora_A.weight`).data.map((value) => 1.5 * value),
        { relative: 1e-3 },
      );
      await expectClose(up.data, host(g, `plain/${path}.lora_B.weight`).data, { relative: 1e-3 });
    }
    expect(state.layers.size * 2).toBe(expectedTensors('plain').size);
  });

  it('are read: attention processors in a pickle', async () => {
    const state = only((await openAdapter(join(files, 'processors.bin'), { paths })).adapters);
    const at = 'up_blocks.1.attentions.0.transformer_blocks.0.attn2';
    expect([...state.layers.keys()]).toEqual([`${at}.to_q`, `${at}.to_k`, `${at}.to_v`, `${at}.to_out.0`]);
  });

  it.each(['rass.pkl', 'osediff.pkl'])('are read: %s, three adapters and a layer trained whole', async (file) => {
    const { adapters, report } = await openAdapter(join(files, file), { paths });
    expect(report.format).toBe('rass');
    expect(Object.keys(adapters)).toEqual(['default_encoder', 'default_decoder', 'default_others']);
    for (const [name, { layers, config }] of Object.entries(adapters)) {
      for (const [path, update] of layers) {
        const { down, up, alpha } = update as LoraUpdate;
        await expectClose(down.data, host(g, `rass/${path}.lora_A.${name}.weight`).data, { relative: 0 });
        await expectClose(up.data, host(g, `rass/${path}.lora_B.${name}.weight`).data, { relative: 0 });
        // PEFT's own alpha, 8, at rank 4.
        expect([down.shape[0], alpha]).toEqual([4, 8]);
      }
      expect(config?.targets).toEqual([...layers.keys()]);
    }
    const { whole, layers } = adapters.default_encoder;
    expect(layers.has('conv_in')).toBe(true);
    await expectClose(
      (whole.get('conv_in.weight') as HostTensor).data,
      host(g, 'rass/conv_in.base_layer.weight').data,
      { relative: 0 },
    );
    expect([...whole.keys()]).toEqual(['conv_in.weight', 'conv_in.bias']);
    expect([adapters.default_decoder.whole.size, adapters.default_others.whole.size]).toEqual([0, 0]);
    if (file === 'osediff.pkl') {
      const vae = await openAdapter(join(files, file), { component: 'vae' });
      expect([...vae.adapters.default_encoder.layers.keys()]).toEqual(['encoder.conv_in']);
    } else
      await expect(openAdapter(join(files, file), { component: 'vae' })).rejects.toThrow(
        'it has an adapter of the vae; got state_dict_unet; choose another component',
      );
  });
});

const CONV = 'down_blocks.0.resnets.0.conv1';

describe("LyCORIS' and kohya's layers", () => {
  it.each([
    [
      'Tucker',
      {
        [`lycoris_${CONV.replaceAll('.', '_')}.lora_down.weight`]: [2, 8, 1, 1],
        [`lycoris_${CONV.replaceAll('.', '_')}.lora_mid.weight`]: [2, 2, 3, 3],
        [`lycoris_${CONV.replaceAll('.', '_')}.lora_up.weight`]: [8, 2, 1, 1],
      },
      CONV,
      { kind: 'lora', alpha: 2 },
    ],
    [
      'LoHa',
      {
        [`${Q_}.hada_w1_a`]: [8, 2],
        [`${Q_}.hada_w1_b`]: [2, 8],
        [`${Q_}.hada_w2_a`]: [8, 2],
        [`${Q_}.hada_w2_b`]: [2, 8],
      },
      Q,
      { kind: 'loha', alpha: 2 },
    ],
    [
      'LoKr',
      { [`${Q_}.lokr_w1`]: [2, 2], [`${Q_}.lokr_w2_a`]: [4, 1], [`${Q_}.lokr_w2_b`]: [1, 4] },
      Q,
      { kind: 'lokr', alpha: 1 },
    ],
    ['whole differences', { [`${Q_}.diff`]: [8, 8] }, Q, { kind: 'diff' }],
    [
      'original names',
      { [`lora_unet_${ORIGINAL}.lora_down.weight`]: [2, 8], [`lora_unet_${ORIGINAL}.lora_up.weight`]: [8, 2] },
      Q,
      { kind: 'lora', alpha: 2 },
    ],
    [
      'DoRA',
      { [`${Q_}.lora_down.weight`]: [2, 8], [`${Q_}.lora_up.weight`]: [8, 2], [`${Q_}.dora_scale`]: [8, 1] },
      Q,
      { magnitude: { shape: [8] } },
    ],
    [
      'DoRA by inputs',
      { [`${Q_}.lora_down.weight`]: [2, 8], [`${Q_}.lora_up.weight`]: [8, 2], [`${Q_}.dora_scale`]: [1, 8] },
      Q,
      { magnitude: { shape: [8] }, magnitudeAxis: 'inputs' },
    ],
    [
      'LoKr with DoRA',
      { [`${Q_}.lokr_w1`]: [2, 2], [`${Q_}.lokr_w2`]: [4, 4], [`${Q_}.dora_scale`]: [8, 1] },
      Q,
      { kind: 'lokr', magnitude: { shape: [8] } },
    ],
  ])('are read: %s', async (_, shapes, path, expected) => {
    const { adapters } = await openBytes(await tensors(shapes), { paths });
    expect([...adapters.default.layers.keys()]).toEqual([path]);
    expect(adapters.default.layers.get(path)).toMatchObject(expected);
  });

  it('have an alpha and a scalar of their own', async () => {
    const bytes = await encodeSafetensors({
      [`${Q_}.lora_down.weight`]: {
        dtype: 'BF16',
        shape: [2, 8],
        data: fromFloat32(new Float32Array(16).fill(1), 'BF16'),
      },
      [`${Q_}.lora_up.weight`]: { dtype: 'F16', shape: [8, 2], data: fromFloat32(new Float32Array(16).fill(2), 'F16') },
      [`${Q_}.alpha`]: { dtype: 'F32', shape: [], data: Float32Array.of(6) },
      [`${Q_}.scalar`]: { dtype: 'F32', shape: [], data: Float32Array.of(0.5) },
    });
    const { adapters } = await openBytes(bytes, { paths });
    const { alpha, up } = adapters.default.layers.get(Q) as LoraUpdate;
    expect([alpha, up.data[0]]).toEqual([3, 2]);
  });
});

describe('adapters that are written', () => {
  it.each(['plain', 'rslora', 'dora', 'whole', 'bias-all', 'bias-lora', 'container'])(
    'are the same again as peft, %s, with the same keys and configuration',
    async (name) => {
      const { adapters } = await openAdapter(join(files, `peft-${name}`));
      const path = join(folder, name);
      await saveAdapter(path, adapters.default, { format: 'peft' });
      expect((await readdir(path)).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
      const read = async (from: string) =>
        openCheckpoint(new Uint8Array(await readFile(join(from, 'adapter_model.safetensors'))));
      const [a, b] = [await read(path), await read(join(files, `peft-${name}`))];
      expect(a.keys().sort()).toEqual(b.keys().sort());
      for (const key of a.keys()) expect(await a.read(key), key).toEqual(await b.read(key));
      const again = only((await openAdapter(path, { paths })).adapters);
      expect(again.layers).toEqual(adapters.default.layers);
      expect(again.whole).toEqual(adapters.default.whole);
      const json = async (from: string) => JSON.parse(await readFile(join(from, 'adapter_config.json'), 'utf8'));
      const kept = ['layers_to_transform', 'layers_pattern', 'modules_to_save', 'revision', 'target_modules', 'bias'];
      const [ours, theirs] = [await json(path), await json(join(files, `peft-${name}`))];
      for (const field of kept) expect(ours[field] ?? null, field).toEqual(theirs[field]);
      const config = async (from: string) => parsePeftConfig(await json(from));
      const { rankPattern: _, alphaPattern: __, ...mine } = await config(path);
      expect(await config(join(files, `peft-${name}`))).toMatchObject(mine);
    },
  );

  it.each(['plain', 'rslora', 'dora'] as const)('come back from kohya and diffusers, %s', async (name) => {
    const { adapters } = await openAdapter(join(files, `peft-${name}`));
    for (const options of [
      { format: 'diffusers' },
      { format: 'kohya' },
      { format: 'kohya', names: 'original', paths },
    ] as const) {
      const path = join(folder, `${name}.safetensors`);
      await saveAdapter(path, adapters.default, options);
      const back = only((await openAdapter(path, { paths })).adapters);
      expect(back.layers.size).toBe(adapters.default.layers.size);
      for (const [layer, update] of adapters.default.layers) {
        const found = back.layers.get(layer) as LoraUpdate;
        const { alpha, ...rest } = update as LoraUpdate;
        const rank = rest.down.shape[0];
        expect(found).toMatchObject(rest);
        const folded = name === 'rslora' && options.format === 'kohya' ? (alpha / Math.sqrt(rank)) * rank : alpha;
        expect(found.alpha).toBeCloseTo(folded, 6);
      }
    }
  });

  it('are of half the size in half precision, with values as near as it has', async () => {
    const { adapters } = await openAdapter(join(files, 'peft-plain'));
    const path = join(folder, 'half');
    await saveAdapter(path, adapters.default, { format: 'peft', dtype: 'BF16' });
    const checkpoint = await openCheckpoint(new Uint8Array(await readFile(join(path, 'adapter_model.safetensors'))));
    expect(new Set(checkpoint.keys().map((key) => checkpoint.info(key).dtype))).toEqual(new Set(['BF16']));
    await expectHeld(only((await openAdapter(path)).adapters), 'plain', 2 ** -8);
  });

  it('name the dimension and alpha in kohya’s metadata', async () => {
    const { adapters } = await openAdapter(join(files, 'peft-rslora'));
    const { metadata } = encodeAdapter(adapters.default, { format: 'kohya' });
    expect(metadata).toEqual({
      ss_network_module: 'networks.lora',
      ss_network_dim: '2',
      // rsLoRA's scale, 3 / sqrt(2), at rank 2.
      ss_network_alpha: `${(3 / Math.sqrt(2)) * 2}`,
    });
  });

  it('refuse by name what a format has no place for', async () => {
    const { adapters } = await openAdapter(join(files, 'peft-whole'));
    const words = (await openAdapter(join(files, 'peft-embedding'))).adapters.default;
    const diff: AdapterState = {
      rsLora: false,
      whole: new Map(),
      layers: new Map([[Q, { kind: 'diff', weight: { shape: [1, 1], data: Float32Array.of(1) } }]]),
    };
    const cases: [() => unknown, string | RegExp][] = [
      [
        () => encodeAdapter(adapters.default, { format: 'kohya' }),
        /^lora: kohya files have no place for layers trained whole; got conv_\w+\.(weight|bias); write PEFT, or leave them out$/,
      ],
      [
        () => encodeAdapter(adapters.default, { format: 'diffusers' }),
        'lora: diffusers files have no place for layers trained whole',
      ],
      [
        () => encodeAdapter(words, { format: 'kohya' }),
        'lora: kohya files have no place for embeddings; got words; write PEFT, or leave them out',
      ],
      [
        () => encodeAdapter(diff, { format: 'peft' }),
        `lora: peft files hold plain LoRA layers; got diff at ${Q}; convertToLora first`,
      ],
      [
        () => encodeAdapter(diff, { format: 'a' as never }),
        'lora: adapters are written as peft, diffusers, kohya; got "a"; choose one',
      ],
    ];
    for (const [run, message] of cases) expect(run).toThrow(message);
  });
});
