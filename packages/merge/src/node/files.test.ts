import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expectClose, loadGolden } from '@rass/testkit';
import { readFloat32 } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileOf, type TestModel } from '../models.test-support.ts';
import type { MergeProgress } from '../run/run-merge.ts';
import { hiddenIn, hiddenName, sweepLeftovers } from './leftovers.ts';
import { mergeFiles, planFiles, runFiles } from './merge-files.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-merge-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = (...steps: string[]) => join(folder, ...steps);
const put = (file: string, data: string | Uint8Array) => {
  mkdirSync(join(path(file), '..'), { recursive: true });
  writeFileSync(path(file), data);
};

const flat = (value: number): TestModel => ({
  x: { shape: [2], values: [value, value] },
  y: { shape: [3], values: [value, 1, 1] },
});
const RECIPE = `
merge_method: linear
models: [{model: one.safetensors, parameters: {weight: 1}}, {model: in/three.safetensors, parameters: {weight: 1}}]
`;

async function putModels(): Promise<void> {
  put('one.safetensors', await fileOf(flat(1)));
  put('in/three.safetensors', await fileOf(flat(3)));
  put('r.yaml', RECIPE);
}

async function valuesAt(file: string): Promise<Record<string, number[]>> {
  const checkpoint = await openCheckpoint(file);
  const entries = checkpoint
    .keys()
    .map(async (key) => [key, [...(await readFloat32(checkpoint, key))]] as [string, number[]]);
  const values = Object.fromEntries(await Promise.all(entries));
  await checkpoint.close();
  return values;
}

const MERGED = { x: [2, 2], y: [2, 1, 1] };
const sha256 = (file: string) =>
  createHash('sha256')
    .update(readFileSync(path(file)))
    .digest('hex');

describe('files', () => {
  it('are merged into one, which tells what it is made of', async () => {
    await putModels();
    const result = await mergeFiles(path('r.yaml'), { out: path('out', 'm.safetensors') });
    expect(result).toMatchObject({ tensors: 2, bytes: 20, out: path('out', 'm.safetensors') });
    expect(await valuesAt(path('out', 'm.safetensors'))).toEqual(MERGED);
    expect(readdirSync(path('out'))).toEqual(['m.safetensors']);
    const checkpoint = await openCheckpoint(path('out', 'm.safetensors'));
    const { 'rass.inputs': inputs, ...metadata } = checkpoint.metadata;
    await checkpoint.close();
    expect(metadata).toEqual({ format: 'pt', 'rass.recipe': RECIPE });
    const hashed = (name: string) => ({ name, bytes: readFileSync(path(name)).length, sha256: sha256(name) });
    expect(JSON.parse(inputs)).toEqual([hashed('one.safetensors'), hashed('in/three.safetensors')]);
  });

  it('are merged into shards in a folder, with the configuration of the first model', async () => {
    put('base/diffusion_pytorch_model.safetensors', await fileOf(flat(1)));
    put('base/config.json', '{"a": 1}');
    put('three.safetensors', await fileOf(flat(3)));
    put('r.yaml', 'merge_method: linear\nmodels: [{model: base}, {model: three.safetensors}]\nparameters: {weight: 1}');
    const names = [
      'config.json',
      'diffusion_pytorch_model-00001-of-00002.safetensors',
      'diffusion_pytorch_model-00002-of-00002.safetensors',
      'diffusion_pytorch_model.safetensors.index.json',
    ];
    for (const _ of ['new', 'replaced']) {
      await mergeFiles(path('r.yaml'), { out: path('merged'), maxShardBytes: 8 });
      expect(readdirSync(path('merged')).sort()).toEqual(names);
      expect(await valuesAt(path('merged', names[3]))).toEqual(MERGED);
      expect(readFileSync(path('merged', 'config.json'), 'utf8')).toBe('{"a": 1}');
    }
    const shard = await openCheckpoint(path('merged', names[2]));
    expect(JSON.parse(shard.metadata['rass.inputs'])[0]).toMatchObject({
      name: 'base',
      sha256: sha256('base/diffusion_pytorch_model.safetensors'),
    });
    await shard.close();
    expect(readdirSync(folder).sort()).toEqual(['base', 'merged', 'r.yaml', 'three.safetensors']);
    // A merge may read what another has written.
    put('again.yaml', 'merge_method: passthrough\nmodels: [{model: merged}]');
    await mergeFiles(path('again.yaml'), { out: path('again.safetensors') });
    expect(await valuesAt(path('again.safetensors'))).toEqual(MERGED);
  });

  it('of a whole pipeline are the UNet’s, and adapters lie beside the recipe', async () => {
    const query = (...values: number[]): TestModel => ({ 'attn.to_q.weight': { shape: [2, 2], values } });
    put('sd/model_index.json', '{}');
    put('sd/unet/diffusion_pytorch_model.safetensors', await fileOf(query(1, 0, 0, 1)));
    put('lora/adapter_config.json', '{"peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["to_q"]}');
    put(
      'lora/adapter_model.safetensors',
      await fileOf({
        'base_model.model.attn.to_q.lora_A.weight': { shape: [1, 2], values: [1, 2] },
        'base_model.model.attn.to_q.lora_B.weight': { shape: [2, 1], values: [1, 1] },
      }),
    );
    put('r.yaml', 'merge_method: passthrough\nmodels: [{model: sd, loras: [{path: lora}]}]');
    const { inputs } = await mergeFiles(path('r.yaml'), { out: path('m.safetensors') });
    expect(await valuesAt(path('m.safetensors'))).toEqual({ 'attn.to_q.weight': [3, 4, 2, 5] });
    expect(inputs.map((input) => input.path)).toEqual([
      path('sd/unet/diffusion_pytorch_model.safetensors'),
      path('lora/adapter_config.json'),
      path('lora/adapter_model.safetensors'),
    ]);
  });

  it('of two shards, as mergekit merges them', async () => {
    const golden = loadGolden('merge/shards');
    for (const [name, files] of Object.entries(golden.config.files as Record<string, Record<string, string[]>>)) {
      const map: Record<string, string> = {};
      for (const [file, keys] of Object.entries(files)) {
        const model = keys.map((key) => {
          map[key] = file;
          return [key, { ...golden.raw(`in/${name}/${key}`), dtype: 'F16' as const }];
        });
        put(`${name}/${file}`, await fileOf(Object.fromEntries(model)));
      }
      put(`${name}/model.safetensors.index.json`, JSON.stringify({ weight_map: map }));
    }
    for (const dtype of ['float32', 'bfloat16']) {
      put('r.yaml', golden.config.recipe.replace('bfloat16', dtype));
      await mergeFiles(path('r.yaml'), { out: path(`${dtype}.safetensors`) });
      const merged = await openCheckpoint(path(`${dtype}.safetensors`));
      expect(golden.names(`out/${dtype}/`).length).toBe(5);
      for (const key of golden.names(`out/${dtype}/`)) {
        const { shape, values } = golden.raw(`out/${dtype}/${key}`);
        expect(merged.info(key)).toEqual({ dtype: dtype === 'float32' ? 'F32' : 'BF16', shape });
        const ours = await readFloat32(merged, key);
        if (dtype === 'float32') await expectClose(ours, values, { relative: 1e-5, label: key });
        // Sums that differ in the last bit of float32 may round to neighbours in bfloat16, whose steps are at most 2^-7 of a value.
        else
          for (const [i, value] of values.entries())
            expect(Math.abs(ours[i] - value)).toBeLessThanOrEqual(Math.abs(value) / 128);
      }
      await merged.close();
    }
  });
});

describe('a variant', () => {
  const fold = (entry: string) => put('r.yaml', `merge_method: passthrough\nmodels: [{model: sd${entry}}]`);
  const merged = async () => {
    await mergeFiles(path('r.yaml'), { out: path('m.safetensors') });
    return (await valuesAt(path('m.safetensors'))).x;
  };

  it('is read where it is asked for, or is the only one', async () => {
    put('sd/model_index.json', '{}');
    put('sd/unet/diffusion_pytorch_model.fp16.safetensors', await fileOf(flat(2)));
    fold('');
    expect(await merged()).toEqual([2, 2]);
    put('sd/unet/diffusion_pytorch_model.safetensors', await fileOf(flat(1)));
    expect(await merged()).toEqual([1, 1]);
    fold(', variant: fp16');
    expect(await merged()).toEqual([2, 2]);
    // transformers and diffusers put it before the last ending of an index.
    const shard = 'sd/text/model.fp16-00001-of-00001.safetensors';
    put(shard, await fileOf(flat(3)));
    put('sd/text/model.safetensors.index.fp16.json', JSON.stringify({ weight_map: { x: 'model.fp16-00001-of-00001.safetensors', y: 'model.fp16-00001-of-00001.safetensors' } })); // biome-ignore format: one line
    fold('/text, variant: fp16');
    const { inputs } = await planFiles(path('r.yaml'));
    expect(inputs.map((input) => input.path)).toEqual([path('sd/text/model.safetensors.index.fp16.json'), path(shard)]);
    expect(await merged()).toEqual([3, 3]);
  });

  it('is the only one where its weights are in several files, too', async () => {
    const first = 'diffusion_pytorch_model.fp16-00001-of-00002.safetensors';
    const second = 'diffusion_pytorch_model.fp16-00002-of-00002.safetensors';
    const { x, y } = flat(4);
    put(`sd/${first}`, await fileOf({ x }));
    put(`sd/${second}`, await fileOf({ y }));
    const index = { weight_map: { x: first, y: second } };
    put('sd/diffusion_pytorch_model.safetensors.index.fp16.json', JSON.stringify(index));
    fold('');
    expect(await merged()).toEqual([4, 4]);
  });

  it('is named where it is to be chosen, or is not there', async () => {
    put('sd/model.fp16.safetensors', await fileOf(flat(2)));
    put('sd/model.non_ema.safetensors', await fileOf(flat(2)));
    const rule = `merge: ${path('sd')}: a folder with a model has weights of the variant that is meant`;
    fold('');
    await expect(planFiles(path('r.yaml'))).rejects.toThrow(
      `${rule}; got the variants fp16, non_ema; set variant: fp16 or non_ema`,
    );
    // A base_model has no field for it.
    const base = (model: string) =>
      put(
        'r.yaml',
        `merge_method: task_arithmetic\nbase_model: ${model}\nmodels: [{model: sd, variant: fp16}]\nparameters: {weight: 1}`,
      );
    base('./sd');
    await expect(planFiles(path('r.yaml'))).rejects.toThrow('or give the file itself, as of a base_model');
    base('sd/model.non_ema.safetensors');
    expect((await planFiles(path('r.yaml'))).inputs).toHaveLength(2);
    fold(', variant: fp17');
    await expect(planFiles(path('r.yaml'))).rejects.toThrow(`${rule}; got variant: fp17; set variant: fp16 or non_ema`);
    fold('/model.fp16.safetensors, variant: fp16');
    await expect(planFiles(path('r.yaml'))).rejects.toThrow(
      "a variant is one of a folder's files; got variant: fp16 of a file; leave it out",
    );
  });
});

it('a name that ends in .SAFETENSORS is one file, too', async () => {
  await putModels();
  await mergeFiles(path('r.yaml'), { out: path('M.SafeTensors') });
  expect(statSync(path('M.SafeTensors')).isFile()).toBe(true);
  expect(await valuesAt(path('M.SafeTensors'))).toEqual(MERGED);
});

describe('what is wrong with files', () => {
  it('is said of recipes and models', async () => {
    await expect(planFiles(path('none.yaml'))).rejects.toThrow(
      /^merge: .*none\.yaml: a recipe is a file of YAML; got "ENOENT/,
    );
    await putModels();
    put('wrong.yaml', RECIPE.replace('one.safe', 'once.safe'));
    await expect(planFiles(path('wrong.yaml'))).rejects.toThrow(
      `merge: a model is a file, a folder or an earlier stage; got ${path('once.safetensors')}, which is not there; closest: ${path('one.safetensors')}`,
    );
    put('wrong.yaml', RECIPE.replace('one.safe', 'no/one.safe'));
    await expect(planFiles(path('wrong.yaml'))).rejects.toThrow('which is not there; its folder is not there either');
    put('wrong.yaml', RECIPE.replace('one.safetensors', 'in'));
    await expect(planFiles(path('wrong.yaml'))).rejects.toThrow(
      `merge: ${path('in')}: a folder with a model has diffusion_pytorch_model.safetensors, model.safetensors or an index; got none; give the file itself`,
    );
  });

  it('is said of the place of the result, which stays as it is', async () => {
    await putModels();
    const merge = (out: string, maxShardBytes?: number) =>
      mergeFiles(path('r.yaml'), { out: path(out), maxShardBytes });
    await expect(merge('one.safetensors')).rejects.toThrow(
      /one\.safetensors: a result does not replace what it is made of; got one\.safetensors there; choose another name$/,
    );
    await expect(merge('in')).rejects.toThrow('got in/three.safetensors there');
    await expect(merge('m.safetensors', 8)).rejects.toThrow(
      'm.safetensors: shards lie in a folder; got a file and a shard size; leave out .safetensors, or the size',
    );
    await expect(merge('r.yaml')).rejects.toThrow(
      'r.yaml: a result is a folder, or a file that ends in .safetensors; got another file; choose another name',
    );
    put('dir.safetensors/a', '');
    await expect(merge('dir.safetensors')).rejects.toThrow(
      'a name that ends in .safetensors is a file; got a folder of that name',
    );
    put('photos/cat.png', '');
    put('photos/model.safetensors', '');
    await expect(merge('photos')).rejects.toThrow(
      'photos: a folder is replaced as a whole, and so holds weights and a config.json alone; got cat.png; choose another',
    );
    expect(readdirSync(path('photos'))).toEqual(['cat.png', 'model.safetensors']);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe('a merge that fails half way', () => {
  it.each(['m.safetensors', 'm'])('leaves %s as it was and nothing else', async (out) => {
    await putModels();
    await mergeFiles(path('r.yaml'), { out: path(out) });
    const before = readdirSync(folder).sort();
    put('one.safetensors', await fileOf({ ...flat(5), y: { shape: [3], values: [1, 1, Number.NaN] } }));
    await expect(mergeFiles(path('r.yaml'), { out: path(out) })).rejects.toThrow(
      'weights are finite; got NaN at 2 of "y"',
    );
    const plan = await planFiles(path('r.yaml'));
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(runFiles(plan, { out: path(out), signal })).rejects.toThrow('enough');
    // Everything is written, and the hashes may be awaited still.
    put('one.safetensors', await fileOf(flat(5)));
    const controller = new AbortController();
    const onProgress = ({ written, total }: MergeProgress) => {
      if (written === total) controller.abort(new Error('too late'));
    };
    const late = { out: path(out), signal: controller.signal, onProgress };
    await expect(mergeFiles(path('r.yaml'), late)).rejects.toThrow('too late');
    expect(readdirSync(folder).sort()).toEqual(before);
    const file = out === 'm' ? path('m', 'model.safetensors') : path(out);
    expect(await valuesAt(file)).toEqual(MERGED);
  });
});

describe('leftovers', () => {
  // No process has this number: Linux gives none above 2^22.
  const DEAD = 2 ** 22 + 1;
  const old = new Date(Date.now() - 120_000);
  const leave = (name: string, isOld = true) => {
    put(name, 'rest');
    if (isOld) utimesSync(path(name), old, old);
  };

  it('of dead processes are cleared away, and of nobody else', async () => {
    leave(`.m.safetensors.${DEAD}-0123abcd.tmp`);
    leave(`.m.safetensors.${process.pid}-0123abcd.tmp`);
    leave(`.n.safetensors.${DEAD}-0123abcd.tmp`);
    leave(`.m.safetensors.${DEAD}-89abcdef.tmp`, false);
    leave('.m.safetensors.notes');
    expect(await sweepLeftovers(path('m.safetensors'))).toEqual([`.m.safetensors.${DEAD}-0123abcd.tmp`]);
    expect(readdirSync(folder).length).toBe(4);
    // Merging sweeps too.
    await putModels();
    leave(`.m.safetensors.${DEAD}-0123abcd.tmp`);
    await mergeFiles(path('r.yaml'), { out: path('m.safetensors') });
    expect(existsSync(path(`.m.safetensors.${DEAD}-0123abcd.tmp`))).toBe(false);
  });

  it('that are a result moved aside go back to its place, unless there is one', async () => {
    leave(`.m.${DEAD}-0123abcd.old/model.safetensors`, false);
    await sweepLeftovers(path('m'));
    expect(readdirSync(folder)).toEqual(['m']);
    leave(`.m.${DEAD}-0123abcd.old/model.safetensors`);
    utimesSync(path(`.m.${DEAD}-0123abcd.old`), old, old);
    await sweepLeftovers(path('m'));
    expect(readdirSync(folder)).toEqual(['m']);
  });

  it('that are a folder stay while anything at any depth of it is written to', async () => {
    const name = `.m.${DEAD}-0123abcd.tmp`;
    leave(`${name}/unet/a.safetensors`, false);
    for (const each of [name, join(name, 'unet')]) utimesSync(path(each), old, old);
    expect(await sweepLeftovers(path('m'))).toEqual([]);
    utimesSync(path(name, 'unet', 'a.safetensors'), old, old);
    expect(await sweepLeftovers(path('m'))).toEqual([name]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('that somebody else has swept in between are no error', async () => {
    const names = ['tmp', 'old'].map((kind) => `.m.${DEAD}-0123abcd.${kind}`);
    expect(await sweepLeftovers(path('m'), names)).toEqual([]);
    // So are links to what is not there.
    mkdirSync(path(names[0]!));
    symlinkSync('nothing', path(names[0]!, 'link'));
    expect(await sweepLeftovers(path('m'))).toEqual([]);
  });

  it('have names that fit where the result’s leaves no room for more, and are known again', async () => {
    const long = `${'é'.repeat(125)}.png`;
    const hidden = hiddenName(path(long), '0123abcd', 'tmp');
    expect(Buffer.byteLength(basename(hidden))).toBeLessThan(100);
    const left = basename(hidden).replace(String(process.pid), String(DEAD));
    leave(left);
    expect(await hiddenIn(folder)).toEqual([left]);
    expect(await sweepLeftovers(path('other.png'))).toEqual([]);
    expect(await sweepLeftovers(path(long))).toEqual([left]);
    // One that fits stays as it is.
    expect(basename(hiddenName('a/b.png', '0123abcd', 'old'))).toBe(`.b.png.${process.pid}-0123abcd.old`);
  });
});
