import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { activateBackend, expectNoLeaks } from '@rass/testkit';
import { encodeSafetensors, openCheckpoint, readFloat32, type TensorToWrite } from '@rass/weights';
import { describe, expect, it } from 'vitest';
import { mergeState } from '../convert.ts';
import { baseUnet } from '../golden.test-support.ts';
import { openAdapter } from '../node.ts';
import type { AdapterState } from '../state.ts';
import { files, ORIGINAL, paths, Q, Q_, tensors } from './files.test-support.ts';
import { type OpenAdapterOptions, openAdapter as openBytes } from './open-adapter.ts';
import { parsePeftConfig } from './peft-config.ts';
import { AdapterFileError } from './report.ts';
import { encodeAdapter } from './write-adapter.ts';

describe('files that fit only in part', () => {
  const good = { [`${Q}.lora_A.weight`]: [2, 8], [`${Q}.lora_B.weight`]: [8, 2] };
  it.each<[string, Record<string, number[]>, OpenAdapterOptions, string]>([
    ['a partner is missing', { [`${Q}.lora_A.weight`]: [2, 8] }, {}, `incomplete (1):\n  ${Q}: no up`],
    [
      "a key is no adapter's",
      { ...good, stray: [1] },
      {},
      'lora: a file of an adapter fits as a whole; got 1 unused; look at the report; what may mean nothing is named in allowUnused',
    ],
    ['a whole tensor that nothing names', { ...good, 'conv_in.weight': [1] }, {}, 'unused (1):\n  conv_in.weight'],
    [
      'a layer that the model does not have',
      { [`${Q}q.lora_A.weight`]: [2, 8], [`${Q}q.lora_B.weight`]: [8, 2] },
      { paths },
      `${Q}q; did you mean ${Q}`,
    ],
    ['no adapter', { 'a.b': [1] }, {}, 'got 1 unused, no key of an adapter'],
    [
      'kohya without paths',
      { [`${Q_}.lora_down.weight`]: [2, 8] },
      {},
      "its names have underscores for dots, which the model's paths tell apart; got no paths; give leaves(tree).map(({ path }) => path)",
    ],
    [
      'ranks that differ',
      { [`${Q}.lora_A.weight`]: [2, 8], [`${Q}.lora_B.weight`]: [8, 3] },
      {},
      `lora: ${Q}: both factors have one rank; got down [2, 8], up [8, 3]; the file is damaged, or of another kind`,
    ],
    [
      'rank zero',
      { [`${Q}.lora_A.weight`]: [0, 8], [`${Q}.lora_B.weight`]: [8, 0] },
      {},
      'both factors have one rank; got down [0, 8], up [8, 0]',
    ],
    [
      'products of LoHa that differ',
      {
        [`${Q_}.hada_w1_a`]: [8, 2],
        [`${Q_}.hada_w1_b`]: [2, 8],
        [`${Q_}.hada_w2_a`]: [8, 2],
        [`${Q_}.hada_w2_b`]: [2, 6],
      },
      { paths },
      `lora: ${Q}: both products have one size; got [8,8] and [8,6]`,
    ],
    [
      'ranks of LoKr that differ',
      { [`${Q_}.lokr_w1`]: [2, 2], [`${Q_}.lokr_w2_a`]: [4, 2], [`${Q_}.lokr_w2_b`]: [1, 4] },
      { paths },
      `lora: ${Q}: both factors have one rank; got a [4, 2], b [1, 4]`,
    ],
    ['half of LoKr', { [`${Q_}.lokr_w1`]: [2, 2] }, { paths }, `incomplete (1):\n  ${Q}: no lokr_w2`],
    [
      'a core of another rank',
      {
        [`${Q_}.lora_down.weight`]: [2, 8, 1, 1],
        [`${Q_}.lora_mid.weight`]: [2, 3, 3, 3],
        [`${Q_}.lora_up.weight`]: [8, 2, 1, 1],
      },
      { paths },
      `lora: ${Q}: a core is [2, 2, Kh, Kw]; got [2, 3, 3, 3]`,
    ],
    [
      'an alpha that is no number',
      { ...good, [`${Q}.alpha`]: [2] },
      {},
      `lora: ${Q}: alpha is one number, not zero; got [2]`,
    ],
    [
      'layers of another model',
      { ...good, 'conv_in.lora_A.weight': [2, 4, 3, 3], 'conv_in.lora_B.weight': [8, 2, 1, 1] },
      {
        shapes: new Map([
          [Q, [16, 8]],
          ['conv_in', [8, 4, 3, 3]],
        ]),
      },
      `got 1 of another shape; look at the report; the adapter is of another model, or damaged\nbuffer: diffusers, 4 keys used\nalpha: none in the file; the rank, as diffusers and kohya mean it\nwrong shape (1):\n  ${Q}: [8, 8], the model's is [16, 8]`,
    ],
    [
      'a layer that is spelled by both of the names that it has',
      {
        [`${Q_}.lora_down.weight`]: [2, 8],
        [`${Q_}.lora_up.weight`]: [8, 2],
        [`lora_unet_${ORIGINAL}.lora_down.weight`]: [2, 8],
        [`lora_unet_${ORIGINAL}.lora_up.weight`]: [8, 2],
      },
      { paths },
      `got 1 spelled twice; look at the report; the adapter is of another model, or damaged\nbuffer: kohya, 4 keys used\nalpha: none in the file; the rank, as diffusers and kohya mean it\nspelled twice (1):\n  ${Q}: ${Q_}.lora_down.weight, `,
    ],
    [
      'a layer with and without its component, half and half',
      { [`unet.${Q}.lora_A.weight`]: [2, 8], [`${Q}.lora_B.weight`]: [8, 2] },
      {},
      `spelled twice (1):\n  ${Q}: ${Q}.lora_B.weight, unet.${Q}.lora_A.weight`,
    ],
    [
      'a factor by two names',
      { ...good, [`${Q}.lora_down.weight`]: [2, 8] },
      {},
      `spelled twice (1):\n  ${Q}: ${Q}.lora_A.weight, ${Q}.lora_B.weight, ${Q}.lora_down.weight`,
    ],
    [
      'an adapter with its name and without',
      { ...good, [`${Q}.lora_A.default.weight`]: [2, 8], [`${Q}.lora_B.default.weight`]: [8, 2] },
      {},
      'got 1 spelled twice',
    ],
    [
      'a product and a whole difference of one layer',
      { ...good, [`${Q}.diff`]: [8, 8] },
      {},
      `lora: ${Q}: a layer has one kind of update; got down, diff; the file is damaged, or of another kind`,
    ],
    [
      "LoRA's product and LoHa's",
      {
        ...good,
        [`${Q}.hada_w1_a`]: [8, 2],
        [`${Q}.hada_w1_b`]: [2, 8],
        [`${Q}.hada_w2_a`]: [8, 2],
        [`${Q}.hada_w2_b`]: [2, 8],
      },
      {},
      `lora: ${Q}: a layer has one kind of update; got down, hada_w1_a`,
    ],
    [
      "lengths of PEFT's and of LyCORIS'",
      { ...good, [`${Q}.lora_magnitude_vector`]: [8], [`${Q}.dora_scale`]: [8, 1] },
      {},
      `lora: ${Q}: a layer has DoRA's lengths once; got magnitude, doraScale`,
    ],
    [
      'parts that mean nothing beside a whole difference',
      { [`${Q}.diff`]: [8, 8], [`${Q}.dora_scale`]: [8, 1], [`${Q}.lora_mid.weight`]: [2, 2, 3, 3] },
      {},
      `lora: ${Q}: each part of a layer means something; got doraScale, mid beside diff`,
    ],
    [
      'DoRA of another size',
      { [`${Q}.lora_A.weight`]: [2, 8], [`${Q}.lora_B.weight`]: [6, 2], [`${Q}.dora_scale`]: [1, 7] },
      {},
      `lora: ${Q}: DoRA has a length for each of 6 outputs or 8 inputs; got [1, 7]`,
    ],
  ])('are refused: %s', async (_, shapes, options, message) => {
    const error = await openBytes(await tensors(shapes), options).catch((e: Error) => e);
    expect((error as Error).message).toContain(message);
  });

  it('are read where what may mean nothing is named, with a report of each key', async () => {
    const { adapters, report } = await openBytes(await tensors({ ...good, stray: [1] }), { allowUnused: ['stray'] });
    expect([...adapters.default.layers.keys()]).toEqual([Q]);
    expect(report).toMatchObject({ used: [`${Q}.lora_A.weight`, `${Q}.lora_B.weight`], unused: ['stray'] });
    const refused = await openBytes(await tensors({ ...good, stray: [1] })).catch((e) => e);
    expect(refused).toBeInstanceOf(AdapterFileError);
    expect((refused as AdapterFileError).report.unused).toEqual(['stray']);
  });

  it.each(['__proto__', 'constructor', 'toString'])('are read where a name is %s', async (name) => {
    const named = { [`${Q}.lora_A.${name}.weight`]: [2, 8], [`${Q}.lora_B.${name}.weight`]: [8, 2] };
    const { adapters } = await openBytes(await tensors(named), { paths });
    expect(Object.keys(adapters)).toEqual([name]);
    expect([...(adapters[name] as AdapterState).layers.keys()]).toEqual([Q]);
    const layer = { [`${name}.lora_A.weight`]: [2, 8], [`${name}.lora_B.weight`]: [8, 2] };
    const { adapters: read } = await openBytes(await tensors(layer), { paths: [name] });
    expect([...(read['default'] as AdapterState).layers.keys()]).toEqual([name]);
    await expect(openBytes(await tensors(layer), { paths: ['other'] })).rejects.toThrow(AdapterFileError);
    const { tensors: written } = encodeAdapter(read['default'] as AdapterState, { format: 'peft' });
    expect(Object.keys(written)).toEqual([
      `base_model.model.${name}.lora_A.weight`,
      `base_model.model.${name}.lora_B.weight`,
    ]);
  });

  it('are refused where a value is not finite', async () => {
    const data = new Float32Array(16).fill(1);
    data[5] = Number.POSITIVE_INFINITY;
    const bytes = await encodeSafetensors({
      [`${Q}.lora_A.weight`]: { dtype: 'F32', shape: [2, 8], data },
      [`${Q}.lora_B.weight`]: { dtype: 'F32', shape: [8, 2], data: new Float32Array(16) },
    });
    await expect(openBytes(bytes)).rejects.toThrow(
      `values are finite; got Infinity at 5 of "${Q}.lora_A.weight"; the file is damaged`,
    );
  });
});

const f32 = (shape: number[], data: Float32Array<ArrayBuffer>): TensorToWrite => ({ dtype: 'F32', shape, data });

describe('hostile files', () => {
  it.each(['os-system-4.pkl', 'in-a-list.pkl', 'expanded-bomb.pt'])(
    'are refused as weights refuses them: %s',
    async (name) => {
      const path = join(files, '../../../hostile/weights', name);
      const { says } = JSON.parse(readFileSync(join(path, '../cases.json'), 'utf8'))[name];
      await expect(openAdapter(path)).rejects.toThrow(says);
    },
  );

  it.each(['peft-plain/adapter_model.safetensors', 'kohya.safetensors'])(
    'are refused wherever a character of a key is another: %s',
    async (name) => {
      const whole = await openCheckpoint(new Uint8Array(readFileSync(join(files, name))));
      const config = { r: 2, lora_alpha: 3, target_modules: ['to_q'] };
      const all: Record<string, TensorToWrite> = {};
      for (const key of whole.keys()) all[key] = f32([...whole.info(key).shape], await readFloat32(whole, key));
      const options = { paths, ...(name.startsWith('peft') && { config }) };
      await expect(openBytes(await encodeSafetensors(all), options)).resolves.toBeDefined();
      const key = whole.keys().find((each) => each.endsWith('.weight')) as string;
      for (let at = 0; at < key.length; at++) {
        const { [key]: moved, ...rest } = all;
        const bytes = await encodeSafetensors({ ...rest, [`${key.slice(0, at)}#${key.slice(at + 1)}`]: moved });
        await expect(openBytes(bytes, options), `at ${at}`).rejects.toThrow(AdapterFileError);
      }
    },
  );

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('are refused where alpha is %s', async (alpha) => {
    const bytes = await encodeSafetensors({
      [`${Q}.lora_A.weight`]: f32([1, 8], new Float32Array(8)),
      [`${Q}.lora_B.weight`]: f32([8, 1], new Float32Array(8)),
      [`${Q}.alpha`]: f32([], Float32Array.of(alpha)),
    });
    await expect(openBytes(bytes)).rejects.toThrow(
      `values are finite; got ${alpha} at 0 of "${Q}.alpha"; the file is damaged`,
    );
  });

  it('are not merged where alpha is so large that weights are infinite', async () => {
    await activateBackend('cpu');
    const base = await baseUnet();
    const bytes = await encodeSafetensors({
      [`${Q}.lora_A.weight`]: f32([1, 8], new Float32Array(8).fill(10)),
      [`${Q}.lora_B.weight`]: f32([8, 1], new Float32Array(8).fill(10)),
      [`${Q}.alpha`]: f32([], Float32Array.of(3e38)),
    });
    const { adapters } = await openBytes(bytes, { paths });
    await expectNoLeaks(async () => {
      await expect(mergeState(base, adapters.default)).rejects.toThrow(
        `lora: merged weights are finite; got Infinity at 0 of ${Q}.weight; the model is as it was; look at the adapter`,
      );
    });
  });

  it.each(['{', '[1]', 'null'])("are refused where diffusers' metadata is %s", async (text) => {
    const bytes = await encodeSafetensors(
      {
        [`unet.${Q}.lora_A.weight`]: f32([1, 8], new Float32Array(8)),
        [`unet.${Q}.lora_B.weight`]: f32([8, 1], new Float32Array(8)),
      },
      { metadata: { lora_adapter_metadata: text } },
    );
    await expect(openBytes(bytes)).rejects.toThrow(
      /: lora_adapter_metadata is a JSON object; got .*; the file is damaged/,
    );
  });
});

describe("PEFT's configurations", () => {
  const good = { peft_type: 'LORA', r: 4, lora_alpha: 8, target_modules: ['to_q'], bias: 'none' };
  it('are read, with what is neutral', () => {
    expect(
      parsePeftConfig({
        ...good,
        use_qalora: false,
        loftq_config: {},
        megatron_core: 'megatron.core',
        layers_to_transform: null,
      }),
    ).toEqual({
      rank: 4,
      alpha: 8,
      targets: ['to_q'],
      init: 'default',
    });
  });

  it.each([
    [{ peft_type: 'LOHA' }, 'adapter_config.json: the adapter is a LoRA; got peft_type "LOHA"; convert it in peft'],
    [{ bias: 'some' }, 'lora: bias: '],
    [
      { lora_bias: true, use_dora: true },
      'lora: loraBias goes with the default start and without DoRA; got dora; leave one of them out',
    ],
    [{ use_qalora: true }, 'adapter_config.json: each field in use is implemented; got use_qalora true; leave it out'],
    [
      { layer_replication: [[0, 1]] },
      'adapter_config.json: each field in use is implemented; got layer_replication [[0,1]]; leave it out',
    ],
    [
      { init_lora_weights: 'pissa_niter_4' },
      'adapter_config.json: an adapter acts on the original base; got init_lora_weights "pissa_niter_4", which took its start out of the base; convert it in peft',
    ],
    [{ r: 0 }, 'lora: rank: Invalid value: Expected >=1 but received 0; got 0; see LoraConfig'],
  ])('are refused by name: %o', (change, message) => {
    expect(() => parsePeftConfig({ ...good, ...change })).toThrow(message);
  });
});
