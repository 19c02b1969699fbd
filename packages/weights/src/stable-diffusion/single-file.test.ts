import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { shapesOnly } from '../checkpoint.test-support.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { fixturePath } from '../fixtures.test-support.ts';
import { invertRenaming, renameKeys } from '../rename/rules.ts';
import { renamedCheckpoint, selectPrefix } from '../rename/view.ts';
import { openSafetensors } from '../safetensors/read.ts';
import { encodeSafetensors, type TensorToWrite } from '../safetensors/write.ts';
import { bufferSource } from '../source/byte-source.ts';
import { splitStableDiffusion, stableDiffusionTensors } from './single-file.ts';
import { OPEN_CLIP_RENAMING } from './text-names.ts';
import { UNET_PREFIX, unetLevels, unetRenaming } from './unet-names.ts';
import { OLD_VAE_ATTENTION, VAE_PREFIX, vaeLevels, vaeRenaming } from './vae-names.ts';

interface Row {
  part: string;
  source: string;
  key: string;
  sourceShape: number[];
  shape: number[];
  rows: number[];
}

const numbers = (text: string): number[] => (text === '' ? [] : text.split(' ').map(Number));

/** What diffusers' own converters make of a full-size checkpoint; part `-` is what they leave out. */
function table(version: string): Row[] {
  const text = readFileSync(fixturePath('golden', 'weights', `names-${version}.tsv`), 'utf8');
  return text
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => {
      const [part, source, key, sourceShape, shape, rows] = line.split('\t');
      return { part, source, key, sourceShape: numbers(sourceShape), shape: numbers(shape), rows: numbers(rows) };
    });
}

const versions = ['sd1', 'sd2'] as const;
const tables = { sd1: table('sd1'), sd2: table('sd2') };
const original = (version: 'sd1' | 'sd2') =>
  shapesOnly(Object.fromEntries(tables[version].map(({ source, sourceShape }) => [source, sourceShape])));
const shapesOf = (checkpoint: Checkpoint | undefined) =>
  Object.fromEntries((checkpoint?.keys() ?? []).sort().map((key) => [key, checkpoint?.info(key).shape]));
const expectedShapes = (version: 'sd1' | 'sd2', part: string) =>
  Object.fromEntries(
    tables[version]
      .filter((row) => row.part === part)
      .map(({ key, shape }): [string, number[]] => [key, shape])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

describe.each(versions)('full-size %s, against diffusers’ converters', (version) => {
  const file = splitStableDiffusion(original(version));

  it('has each tensor where the converters find it, also of a UNet alone without its prefix', () => {
    const checkpoint = original(version);
    const parts = stableDiffusionTensors(checkpoint);
    expect([...parts.keys()]).toEqual(['unet', 'text_encoder', 'vae']);
    for (const [part, tensors] of parts) {
      const rows = tables[version].filter((row) => row.part === part);
      expect(new Map([...tensors].map(([key, { key: source }]) => [key, source]))).toEqual(
        new Map(rows.map(({ key, source }) => [key, source])),
      );
    }
    const bare = selectPrefix(checkpoint, UNET_PREFIX);
    expect([...stableDiffusionTensors(bare).get('unet')!.keys()]).toEqual([...parts.get('unet')!.keys()]);
    expect(stableDiffusionTensors(file.unet!).size).toBe(0);
  });

  it.each([
    ['unet', 686],
    ['vae', 248],
    ['text_encoder', version === 'sd1' ? 196 : 372],
  ] as const)('the %s has the keys and shapes of diffusers’ model, %i of them', (part, count) => {
    const view = { unet: file.unet, vae: file.vae, text_encoder: file.textEncoder }[part];
    expect(shapesOf(view)).toEqual(expectedShapes(version, part));
    expect(view?.keys()).toHaveLength(count);
  });

  it('takes each from the same tensor, and the same rows of it', async () => {
    // Each tensor of this stand-in holds the number of its row in the table, plus a running fraction.
    const rows = tables[version];
    const sources = [...new Set(rows.map(({ source }) => source))];
    const numbered: Checkpoint = {
      ...original(version),
      async read(key) {
        const shape = original(version).info(key).shape;
        const perRow = shape[0] === undefined ? 1 : 1 / shape[0];
        const place = sources.indexOf(key);
        // One element a row is enough: the view cuts rows in proportion.
        return {
          dtype: 'F32',
          shape,
          data: Float32Array.from({ length: shape[0] ?? 1 }, (_, i) => place + i * perRow),
        };
      },
    };
    const parts = splitStableDiffusion(numbered);
    const views: Record<string, Checkpoint | undefined> = {
      unet: parts.unet,
      vae: parts.vae,
      text_encoder: parts.textEncoder,
    };
    for (const { part, source, key, sourceShape, rows: cut } of rows) {
      if (part === '-') continue;
      const { data } = await views[part]!.read(key);
      const [start, end] = cut.length === 2 ? cut : [0, sourceShape[0]];
      expect(data.length, key).toBe(end - start);
      expect(data[0], key).toBeCloseTo(sources.indexOf(source) + start / sourceShape[0], 3);
    }
  });

  it('ignores what diffusers leaves out, and only that', () => {
    const left = tables[version].filter(({ part }) => part === '-').map(({ source }) => source);
    expect([...file.ignored].sort()).toEqual(left.sort());
    expect(file.version).toBe(version);
  });

  it('leads back to the original names', () => {
    const unetKeys = tables[version].filter(({ part }) => part === 'unet');
    const original = unetKeys.map(({ source }) => source.slice(UNET_PREFIX.length));
    const back = renameKeys(
      unetKeys.map(({ key }) => key),
      invertRenaming(unetRenaming(unetLevels(original))),
      'refuse',
    );
    expect([...back.keys()].sort()).toEqual(original.sort());
    const vaeKeys = tables[version].filter(({ part }) => part === 'vae');
    const vaeOriginal = vaeKeys.map(({ source }) => source.slice(VAE_PREFIX.length));
    const vaeBack = renameKeys(
      vaeKeys.map(({ key }) => key),
      invertRenaming(vaeRenaming(vaeLevels(vaeOriginal))),
    );
    expect([...vaeBack.keys()].sort()).toEqual(vaeOriginal.sort());
    expect(() => invertRenaming(OPEN_CLIP_RENAMING)).not.toThrow();
  });
});

describe('other files', () => {
  const sd1 = Object.fromEntries(tables.sd1.map(({ source, sourceShape }) => [source, sourceShape]));

  it('averaged weights are taken when asked for', () => {
    const averaged = Object.fromEntries(
      Object.entries(sd1)
        .filter(([key]) => key.startsWith('model.'))
        .map(([key, shape]) => [`model_ema.${key.slice('model.'.length).replaceAll('.', '')}`, shape]),
    );
    const both = shapesOnly({ ...sd1, ...averaged });
    expect(splitStableDiffusion(both, { ema: true }).unet?.keys()).toHaveLength(686);
    expect(splitStableDiffusion(both).ignored).toContain('model_ema.diffusion_modelout2weight');
    expect(splitStableDiffusion(both, { ema: true }).ignored).toContain('model.diffusion_model.out.2.weight');
    expect(() => splitStableDiffusion(original('sd1'), { ema: true })).toThrow(
      'shapes: averaged weights are there when asked for; got no "model_ema.diffusion_model',
    );
  });

  it('a VAE alone is split too, with its prefix or without', () => {
    const bare = Object.fromEntries(
      Object.entries(sd1)
        .filter(([key]) => key.startsWith(VAE_PREFIX))
        .map(([key, shape]) => [key.slice(VAE_PREFIX.length), shape]),
    );
    const file = splitStableDiffusion(shapesOnly({ ...bare, 'loss.logvar': [] }), { allowUnused: [/^loss\./] });
    expect(file.version).toBeUndefined();
    expect(file.unet).toBeUndefined();
    expect(shapesOf(file.vae)).toEqual(expectedShapes('sd1', 'vae'));
  });

  it('a text encoder without text_model. in its names gets it', () => {
    const short = Object.fromEntries(
      Object.entries(sd1).map(([key, shape]) => [key.replace('transformer.text_model.', 'transformer.'), shape]),
    );
    expect(shapesOf(splitStableDiffusion(shapesOnly(short)).textEncoder)).toEqual(
      expectedShapes('sd1', 'text_encoder'),
    );
  });

  it('what belongs to no part is an error unless it is allowed', () => {
    const more = shapesOnly({ ...sd1, 'lora.up': [1], alphas_cumprod: [1000] }, 'mine.ckpt');
    expect(() => splitStableDiffusion(more)).toThrow(
      'mine.ckpt: every tensor of a single file belongs to a part; got 1 that do not: lora.up; name them in allowUnused to leave them out',
    );
    expect(splitStableDiffusion(more, { allowUnused: ['lora.up'] }).ignored).toEqual(
      expect.arrayContaining(['lora.up', 'alphas_cumprod']),
    );
  });

  it.each([
    [{ 'conditioner.embedders.0.transformer.x': [1] }, 'got Stable Diffusion XL'],
    [{ 'model.diffusion_model.joint_blocks.0.x': [1] }, 'got Stable Diffusion 3'],
    [{ 'double_blocks.0.img_attn.norm.key_norm.scale': [1] }, 'got Flux'],
    [
      { 'model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight': [320, 2048] },
      'got a width of 2048',
    ],
    [{ 'model.diffusion_model.out.2.weight': [1] }, 'got a width of no attention'],
    [
      { 'layer1.0.weight': [1] },
      'a single file has model.diffusion_model, first_stage_model or cond_stage_model; got layer1.0.weight',
    ],
  ])('another model is refused by name: %j', (shapes, text) => {
    expect(() => splitStableDiffusion(shapesOnly(shapes as Record<string, number[]>))).toThrow(text);
  });
});

it('reads the values of a fused projection by rows', async () => {
  const values = (count: number) => Float32Array.from({ length: count }, (_, i) => i);
  const layer = (index: number): Record<string, TensorToWrite> => ({
    [`cond_stage_model.model.transformer.resblocks.${index}.attn.in_proj_weight`]: {
      dtype: 'F32',
      shape: [6, 2],
      data: values(12),
    },
    [`cond_stage_model.model.transformer.resblocks.${index}.attn.in_proj_bias`]: {
      dtype: 'F32',
      shape: [6],
      data: values(6),
    },
  });
  const file = await encodeSafetensors({ ...layer(0), ...layer(1) });
  const { textEncoder } = splitStableDiffusion(await openSafetensors(bufferSource(file)));
  const attention = 'text_model.encoder.layers.0.self_attn';
  expect(textEncoder?.keys()).toHaveLength(6);
  expect((await textEncoder!.read(`${attention}.k_proj.weight`)).data).toEqual(Float32Array.of(4, 5, 6, 7));
  expect(await textEncoder!.read(`${attention}.v_proj.bias`)).toEqual({
    dtype: 'F32',
    shape: [2],
    data: Float32Array.of(4, 5),
  });
});

it('gives a VAE’s old attention names today’s', () => {
  const at = 'encoder.mid_block.attentions.0';
  const old = shapesOnly({
    [`${at}.query.weight`]: [4, 4],
    [`${at}.key.bias`]: [4],
    [`${at}.value.bias`]: [4],
    [`${at}.proj_attn.weight`]: [4, 4],
    [`${at}.group_norm.bias`]: [4],
  });
  expect(renamedCheckpoint(old, OLD_VAE_ATTENTION).keys()).toEqual([
    ...[`${at}.to_q.weight`, `${at}.to_k.bias`, `${at}.to_v.bias`, `${at}.to_out.0.weight`, `${at}.group_norm.bias`],
  ]);
});

it('refuses a number of a block over which it would loop without end', () => {
  const message = 'splitStableDiffusion: blocks are numbered from 0 up; got';
  expect(() => unetLevels(['input_blocks.0.0.weight', 'input_blocks.999999999.0.weight'])).toThrow(message);
  expect(() => vaeLevels(['encoder.conv_in.weight', 'encoder.down.999999999.block.0.weight'])).toThrow(message);
  // More keys than a call takes arguments.
  const many = Array.from({ length: 200_000 }, (_, i) => `encoder.down.${i % 4}.block.${i}.weight`);
  expect(vaeLevels(many)).toBe(4);
});
