import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pythonExecutable, runPython } from '@rass/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { contentsOf, fixturePath } from './fixtures.test-support.ts';
import { encodeSafetensors, fromFloat32, type TensorToWrite } from './index.ts';
import {
  createSafetensors,
  createShardedSafetensors,
  fileSink,
  fileSource,
  openCheckpoint,
  openDiffusersFolder,
  saveSafetensors,
} from './node.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-weights-'));
});
afterEach(() => {
  const open = openFiles();
  rmSync(folder, { recursive: true });
  expect(open, 'files left open').toEqual([]);
});

/** What this process holds open in the test's folder; known on Linux alone. */
function openFiles(): string[] {
  if (!existsSync('/proc/self/fd')) return [];
  const links = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the one that listed the folder
    }
  });
  return links.filter((link) => link.startsWith(folder));
}

const tensors = {
  'b.weight': { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
  a: { dtype: 'F16', shape: [2], data: fromFloat32(Float32Array.of(1.5, -2), 'F16') },
  c: { dtype: 'I64', shape: [], data: BigInt64Array.of(7n) },
} satisfies Record<string, TensorToWrite>;
const path = (...steps: string[]) => join(folder, ...steps);
const put = (file: string, data: string | Uint8Array) => {
  mkdirSync(dirname(path(file)), { recursive: true });
  writeFileSync(path(file), data);
};

describe('files', () => {
  it('are written and opened by path and by file: URL', async () => {
    await saveSafetensors(path('m.safetensors'), tensors, { metadata: { step: '3' } });
    for (const from of [
      path('m.safetensors'),
      pathToFileURL(path('m.safetensors')),
      pathToFileURL(path('m.safetensors')).href,
    ]) {
      const checkpoint = await openCheckpoint(from);
      expect(checkpoint.format).toBe('safetensors');
      expect(checkpoint.metadata).toEqual({ step: '3' });
      expect((await checkpoint.read('b.weight')).data).toEqual(Float32Array.of(1, 2, 3, 4));
      await checkpoint.close();
    }
    expect(readdirSync(folder)).toEqual(['m.safetensors']);
  });

  it('say what is wrong with a path', async () => {
    await expect(openCheckpoint(path('none.pt'))).rejects.toThrow(/none\.pt: the file can be read; got "ENOENT/);
    await expect(openCheckpoint(folder)).rejects.toThrow(
      /a checkpoint is a file; got something else, such as a folder/,
    );
    await expect(fileSink(path('no', 'such', 'm.bin'))).rejects.toMatchObject({ rule: 'CannotWrite' });
    const source = await fileSource(fixturePath('golden', 'weights', 'dtypes.safetensors'));
    await source.close();
    await source.close();
    await expect(source.read(0, 1)).rejects.toMatchObject({ rule: 'Closed' });
  });

  it('that shrink while they are read are noticed', async () => {
    await saveSafetensors(path('m.safetensors'), tensors);
    const checkpoint = await openCheckpoint(path('m.safetensors'));
    writeFileSync(path('m.safetensors'), readFileSync(path('m.safetensors')).subarray(0, -20));
    await expect(checkpoint.read('a')).rejects.toThrow('the file does not shrink while it is read');
    await checkpoint.close();
  });
});

describe('a file being written', () => {
  it('is not there, or is the old one, until the writer has finished', async () => {
    put('m.safetensors', 'old');
    const writer = await createSafetensors(path('m.safetensors'), tensors);
    for (const name of writer.names) {
      await writer.write(name, tensors[name as keyof typeof tensors].data);
      expect(readFileSync(path('m.safetensors'), 'utf8')).toBe('old');
    }
    expect(readdirSync(folder)).toHaveLength(2);
    await writer.finish();
    expect(readdirSync(folder)).toEqual(['m.safetensors']);
    expect(readFileSync(path('m.safetensors')).length).toBeGreaterThan(100);
  });

  it.each(['abort', 'finish too early', 'throw while making data'])('leaves nothing behind on %s', async (way) => {
    put('m.safetensors', 'old');
    if (way === 'throw while making data') {
      const failing: TensorToWrite = {
        dtype: 'F32',
        shape: [1],
        data: () => Promise.reject(new Error('out of memory')),
      };
      await expect(saveSafetensors(path('m.safetensors'), { ...tensors, z: failing })).rejects.toThrow('out of memory');
    } else {
      const writer = await createSafetensors(path('m.safetensors'), tensors);
      await writer.write('a', tensors.a.data);
      if (way === 'abort') await writer.abort();
      else await expect(writer.finish()).rejects.toThrow('2 were not');
      await writer.abort();
    }
    expect(readdirSync(folder)).toEqual(['m.safetensors']);
    expect(readFileSync(path('m.safetensors'), 'utf8')).toBe('old');
  });

  it('is the old one after the process is killed in the middle', async () => {
    put('m.safetensors', 'old');
    const program = `
      import { createSafetensors } from ${JSON.stringify(new URL('./node.ts', import.meta.url).href)};
      const spec = { dtype: 'F32', shape: [1000] };
      const writer = await createSafetensors(process.argv[1], { a: spec, b: spec });
      await writer.write('a', new Float32Array(1000));
      console.log('written');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, path('m.safetensors')]);
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(readFileSync(path('m.safetensors'), 'utf8')).toBe('old');
    const left = readdirSync(folder).filter((name) => name !== 'm.safetensors');
    expect(left).toHaveLength(1);
    expect(left[0]).toMatch(/^\.m\.safetensors\.\d+-[0-9a-f]{8}\.tmp$/);
  });

  it('leaves the old file when the new one cannot take its place', async () => {
    mkdirSync(path('m.safetensors'));
    await expect(saveSafetensors(path('m.safetensors'), tensors)).rejects.toMatchObject({ rule: 'CannotWrite' });
    expect(readdirSync(folder)).toEqual(['m.safetensors']);
  });
});

describe('shards', () => {
  it('are cut by size, named as Hugging Face names them, and read as one', async () => {
    const writer = await createShardedSafetensors(path('out'), tensors, { maxShardBytes: 20, baseName: 'unet' });
    expect(writer.names).toEqual(['b.weight', 'a', 'c']);
    for (const name of [...writer.names].reverse())
      await writer.write(name, tensors[name as keyof typeof tensors].data);
    expect(readdirSync(path('out')).filter((name) => !name.endsWith('.tmp'))).toEqual([]);
    await writer.finish();
    expect(readdirSync(path('out')).sort()).toEqual([
      'unet-00001-of-00002.safetensors',
      'unet-00002-of-00002.safetensors',
      'unet.safetensors.index.json',
    ]);
    const index = JSON.parse(readFileSync(path('out', 'unet.safetensors.index.json'), 'utf8'));
    expect(index.metadata).toEqual({ total_size: 28 });
    expect(index.weight_map['b.weight']).toBe('unet-00001-of-00002.safetensors');
    const checkpoint = await openCheckpoint(path('out', 'unet.safetensors.index.json'));
    expect(checkpoint.format).toBe('sharded');
    expect(checkpoint.metadata).toEqual({ total_size: '28' });
    expect((await checkpoint.read('c')).data).toEqual(BigInt64Array.of(7n));
    expect(checkpoint.keys().sort()).toEqual(['a', 'b.weight', 'c']);
    expect(() => checkpoint.info('b.weigth')).toThrow('closest: b.weight');
    await checkpoint.close();
  });

  it('take parts and late texts, and are read in parts', async () => {
    const options = { maxShardBytes: 20, metadata: { hash: '????' } };
    const writer = await createShardedSafetensors(folder, tensors, options);
    const { data } = tensors['b.weight'];
    await writer.writePart('b.weight', 0, data.subarray(0, 3));
    await writer.write('c', tensors.c.data);
    await writer.write('a', tensors.a.data);
    expect(writer.isComplete).toBe(false);
    await writer.writePart('b.weight', 3, data.subarray(3));
    expect(writer.isComplete).toBe(true);
    await writer.finish({ hash: 'a1b2' });
    const shard = await openCheckpoint(path('model-00002-of-00002.safetensors'));
    expect(shard.metadata).toEqual({ hash: 'a1b2' });
    await shard.close();
    const checkpoint = await openCheckpoint(path('model.safetensors.index.json'));
    expect(await checkpoint.readPart?.('b.weight', { start: 1, count: 2 })).toEqual(Float32Array.of(2, 3));
    const into = new Uint8Array(8);
    expect(await checkpoint.readPart?.('b.weight', { start: 2, count: 2 }, { into })).toEqual(Float32Array.of(3, 4));
    expect(new Float32Array(into.buffer)).toEqual(Float32Array.of(3, 4));
    await checkpoint.close();
  });

  it('are one file without an index where they fit in one', async () => {
    const writer = await createShardedSafetensors(folder, tensors);
    for (const [name, { data }] of Object.entries(tensors)) await writer.write(name, data);
    await writer.finish();
    expect(readdirSync(folder)).toEqual(['model.safetensors']);
  });

  it('name every tensor in the index of shards, whatever it is called', async () => {
    const names = ['__proto__', 'constructor'];
    const specs = Object.fromEntries(names.map((name) => [name, { dtype: 'F32' as const, shape: [2] }]));
    const writer = await createShardedSafetensors(folder, specs, { maxShardBytes: 8 });
    for (const name of names) await writer.write(name, Float32Array.of(1, 2));
    await writer.finish();
    const [index] = readdirSync(folder).filter((name) => name.endsWith('.index.json'));
    const { weight_map: map } = JSON.parse(readFileSync(join(folder, index), 'utf8'));
    expect(Object.keys(map)).toEqual(names);
  });

  it('leave nothing when a tensor is missing', async () => {
    const writer = await createShardedSafetensors(folder, tensors, { maxShardBytes: 8 });
    await writer.write('a', tensors.a.data);
    await expect(writer.finish()).rejects.toThrow('shards: every announced tensor is written; 2 were not: b.weight, c');
    expect(readdirSync(folder)).toEqual([]);
    await expect(createShardedSafetensors(folder, tensors, { maxShardBytes: 0 })).rejects.toThrow(
      'shards: maxShardBytes is a positive number; got 0',
    );
  });

  const index = (map: unknown) => JSON.stringify({ weight_map: map });

  it.each([
    ['{"a": 1}', 'an index has a weight_map; got a'],
    [index({}), 'a weight_map names at least one tensor; got an empty one; it may be cut off'],
    ['{"weight_map": ', 'an index is JSON'],
    [index({ a: 1 }), 'the weight_map names a file for each tensor; got 1 for "a"'],
    [index({ a: 'none.safetensors' }), 'every shard lies beside the index; got no "none.safetensors"'],
    [index({ a: '../outside.safetensors' }), 'a file\'s path stays inside the folder; got "../outside.safetensors"'],
    [index({ a: '/etc/passwd' }), 'stays inside the folder'],
    [
      index({ zzz: 'one.safetensors' }),
      'a shard holds the tensors that the index says; got no "zzz" in "one.safetensors"',
    ],
  ])('refuse an index that is wrong: %s', async (text, message) => {
    await saveSafetensors(path('one.safetensors'), tensors);
    put('m.safetensors.index.json', text);
    await expect(openCheckpoint(path('m.safetensors.index.json'))).rejects.toThrow(message);
  });

  it.skipIf(pythonExecutable() === undefined)('load in Python by their index', async () => {
    const writer = await createShardedSafetensors(folder, tensors, { maxShardBytes: 20 });
    for (const [name, { data }] of Object.entries(tensors)) await writer.write(name, data);
    await writer.finish();
    const script = fixturePath('oracle', 'weights_safetensors.py');
    const { weight_map } = JSON.parse(readFileSync(path('model.safetensors.index.json'), 'utf8'));
    const files = [...new Set(Object.values(weight_map) as string[])].sort().map((file) => path(file));
    const loaded = runPython(script, ['contents', ...files])
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).tensors);
    const checkpoint = await openCheckpoint(path('model.safetensors.index.json'));
    expect(Object.assign({}, ...loaded)).toEqual(await contentsOf(checkpoint));
    await checkpoint.close();
  });
});

describe('what a file is', () => {
  it.each([
    ['GGUF\x03\0\0\0', 'got GGUF'],
    ['\x89HDF\r\n\x1a\n', 'got HDF5'],
    ['version https://git-lfs.github.com/spec/v1\n', 'got a Git LFS pointer'],
    ['<!doctype html><html>', 'got a web page'],
    ['', 'got an empty file'],
    ['\x01\x02\x03', 'got a file that starts with 01 02 03'],
  ])('is told by its content, and named where it is not read: %j', async (text, message) => {
    put('file.bin', Buffer.from(text, 'latin1'));
    await expect(openCheckpoint(path('file.bin'))).rejects.toThrow(
      /file\.bin: a checkpoint is safetensors, a PyTorch zip or pickle, or a shard index/,
    );
    await expect(openCheckpoint(path('file.bin'))).rejects.toThrow(message);
  });

  it.each([
    ['version https://git-lfs.github.com/spec/v1\n', 'got a Git LFS pointer; fetch the file itself'],
    ['<!doctype html><html>', 'got a web page or XML; the download went wrong'],
    ['\xef\xbb\xbf\r\n  <html>', 'got a web page or XML; the download went wrong'],
  ])('is told by its content where its name says another thing, too: %j', async (text, message) => {
    for (const name of ['unet.safetensors', 'unet.pth', 'unet.safetensors.index.json']) {
      put(name, Buffer.from(text, 'latin1'));
      await expect(openCheckpoint(path(name)), name).rejects.toThrow(message);
    }
  });

  it('does not hang on its name, but a damaged .safetensors is refused for its damage', async () => {
    put('really-safetensors.bin', await encodeSafetensors(tensors));
    const golden = (name: string) => fixturePath('golden', 'weights', 'torch', name);
    const formats: Record<string, string> = {
      [path('really-safetensors.bin')]: 'safetensors',
      [golden('views-legacy.pt')]: 'torch legacy',
      [golden('numpy-0.pkl')]: 'pickle',
      [golden('module-zip.pth')]: 'torch zip',
    };
    for (const [file, format] of Object.entries(formats)) {
      const checkpoint = await openCheckpoint(file);
      expect(checkpoint.format).toBe(format);
      await checkpoint.close();
    }
    put('cut.safetensors', (await encodeSafetensors(tensors)).slice(0, 4));
    await expect(openCheckpoint(path('cut.safetensors'))).rejects.toMatchObject({ rule: 'HeaderTooSmall' });
  });
});

describe('a diffusers folder', () => {
  async function makeFolder() {
    put('model_index.json', '{"_class_name": "StableDiffusionPipeline"}');
    put('unet/config.json', '{"in_channels": 4}');
    put('unet/diffusion_pytorch_model.safetensors', await encodeSafetensors({ u: tensors.a }));
    put('unet/diffusion_pytorch_model.fp16.safetensors', await encodeSafetensors({ half: tensors.a }));
    put('vae/config.json', '{}');
    put('vae/diffusion_pytorch_model.bin', readFileSync(fixturePath('golden', 'weights', 'torch', 'module-zip.pth')));
    put('text_encoder/config.json', '{}');
    const writer = await createShardedSafetensors(path('text_encoder'), tensors, { maxShardBytes: 20 });
    for (const [name, { data }] of Object.entries(tensors)) await writer.write(name, data);
    await writer.finish();
    put('tokenizer/vocab.json', '{"a": 0}');
    put('tokenizer/merges.txt', '#version: 0.2\na b\n');
    put('scheduler/scheduler_config.json', '{"prediction_type": "epsilon"}');
  }

  it('opens every component', async () => {
    await makeFolder();
    const model = await openDiffusersFolder(folder);
    expect(model.modelIndex).toEqual({ _class_name: 'StableDiffusionPipeline' });
    expect(model.unet?.config).toEqual({ in_channels: 4 });
    expect(model.unet?.checkpoint.keys()).toEqual(['u']);
    expect(model.vae?.checkpoint.has('conv.weight')).toBe(true);
    expect(model.textEncoder?.checkpoint.format).toBe('sharded');
    expect(model.tokenizer).toEqual({ 'vocab.json': '{"a": 0}', 'merges.txt': '#version: 0.2\na b\n' });
    expect(model.scheduler).toEqual({ prediction_type: 'epsilon' });
    await model.close();
    const half = await openDiffusersFolder(folder, { variant: 'fp16' });
    expect(half.unet?.checkpoint.keys()).toEqual(['half']);
    await half.close();
    rmSync(path('unet', 'diffusion_pytorch_model.safetensors'));
    const only = await openDiffusersFolder(folder);
    expect(only.unet?.checkpoint.keys()).toEqual(['half']);
    await only.close();
  });

  it('leaves out the position numbers that older text encoders are saved with', async () => {
    put('model_index.json', '{}');
    put('text_encoder/config.json', '{}');
    const file = { 'text_model.embeddings.position_ids': tensors.c, 'text_model.final_layer_norm.bias': tensors.a };
    put('text_encoder/model.safetensors', await encodeSafetensors(file));
    const model = await openDiffusersFolder(folder);
    expect(model.textEncoder?.checkpoint.keys()).toEqual(['text_model.final_layer_norm.bias']);
    await model.close();
  });

  it('gives the attention of an old VAE today’s names', async () => {
    put('model_index.json', '{}');
    put('vae/config.json', '{}');
    const old = { 'decoder.mid_block.attentions.0.query.weight': tensors['b.weight'] };
    put('vae/diffusion_pytorch_model.safetensors', await encodeSafetensors(old));
    const model = await openDiffusersFolder(folder);
    await model.close();
    expect(model.vae?.checkpoint.keys()).toEqual(['decoder.mid_block.attentions.0.to_q.weight']);
  });

  it('says what is missing', async () => {
    await expect(openDiffusersFolder(folder)).rejects.toThrow('a diffusers folder has a model_index.json; got none');
    put('model_index.json', '{}');
    expect((await openDiffusersFolder(folder)).unet).toBeUndefined();
    put('unet/config.json', '{}');
    await expect(openDiffusersFolder(folder)).rejects.toThrow(
      /unet: a component has weights, such as diffusion_pytorch_model\.safetensors; got none/,
    );
    put('unet/config.json', '{');
    await expect(openDiffusersFolder(folder)).rejects.toThrow(/unet\/config\.json: the file is JSON; got "/);
  });
});

it('a full disk names the file that was to be written', async () => {
  const script = `
    import { fileSink } from ${JSON.stringify(new URL('./node/file-sink.ts', import.meta.url).href)};
    const sink = await fileSink(process.argv[1]);
    await sink.writeAt(0, new Uint8Array(1 << 20)).catch((error) => console.log(error.name, error.rule, error.message));
    await sink.abort();`;
  // A bound of the system on a file's size fails as a full disk does: in the middle of a write, without a path.
  const command = ['-c', 'ulimit -f 8; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', script, path('big.safetensors')]; // biome-ignore format: one line
  const said = execFileSync('sh', command, { encoding: 'utf8' });
  expect(said).toMatch(/^WeightsError CannotWrite .*big\.safetensors: its disk takes what is written; got "EFBIG/);
});
