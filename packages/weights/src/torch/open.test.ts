import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pythonExecutable, runPython } from '@rass/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFloat32 } from '../checkpoint.ts';
import {
  contentsOf,
  fixtureBytes,
  fixtureNames,
  fixturePath,
  fixtureSource,
  openFixture,
} from '../fixtures.test-support.ts';
import { fileSource, openCheckpoint } from '../node.ts';
import type { ByteSource } from '../source/byte-source.ts';
import { bufferSource } from '../source/byte-source.ts';
import { openTorch } from './open.ts';

const files = fixtureNames('golden', 'weights', 'torch').filter((name) => !name.endsWith('.safetensors'));
const open = (name: string, options = {}) => openTorch(fixtureSource('golden', 'weights', 'torch', name), options);
const expected = (name: string) =>
  openFixture('golden', 'weights', 'torch', `${name.replace(/\.\w+$/, '')}.safetensors`);

/** Refuses reads of more than `limit` bytes at once, and adds up what is read. */
function counted(source: ByteSource): { source: ByteSource; read: () => number } {
  let total = 0;
  const read: ByteSource['read'] = (start, end, signal) => {
    total += end - start;
    return source.read(start, end, signal);
  };
  return { source: { ...source, read }, read: () => total };
}

describe('real files of torch.save, pickle.dump and numpy', () => {
  it.each(files)('reads %s as Python does, every type, shape and byte', async (name) => {
    const checkpoint = await open(name);
    const reference = await expected(name);
    expect(await contentsOf(checkpoint)).toEqual(await contentsOf(reference));
    expect(checkpoint.value).toMatchObject(JSON.parse(reference.metadata.plain));
  });

  it.each(['signs-zip.pt', 'signs-legacy.pt'])('%s: negates and conjugates what PyTorch has put off', async (name) => {
    const checkpoint = await open(name);
    const [plain, conjugate, imaginary] = await Promise.all(
      ['plain', 'conjugate', 'imaginary'].map(async (key) => Array.from((await checkpoint.read(key)).data, Number)),
    );
    expect(conjugate).toEqual(plain.map((x, i) => (i % 2 === 1 ? -x : x)));
    expect(imaginary).toEqual(plain.filter((_, i) => i % 2 === 1).map((x) => -x));
  });

  it('refuses a lazily negated tensor of whole numbers by name', async () => {
    const source = fixtureSource('golden', 'weights', 'torch-refused', 'negative-int.pt');
    await expect(openTorch(source).then((checkpoint) => checkpoint.read('count'))).rejects.toThrow(
      'a lazily negated tensor is F64, F32, F16, BF16, C64; got I64; save tensor.resolve_neg()',
    );
  });

  it('covers both formats and plain pickles', async () => {
    const formats = await Promise.all(files.map(async (name) => (await open(name)).format));
    for (const format of ['torch zip', 'torch legacy', 'pickle']) expect(formats).toContain(format);
    expect(files.length).toBeGreaterThanOrEqual(25);
  });

  it('finds the dict that holds the tensors, or takes the one that is named', async () => {
    const training = await open('training-zip.pt');
    expect(training.root).toBe('state_dict');
    expect(training.keys()).toEqual(['weight', 'bias']);
    expect(training.metadata).toMatchObject({ epoch: '3', name: 'tiny', done: 'true', big: String(2n ** 70n) });
    const whole = await open('training-zip.pt', { root: '' });
    expect(whole.keys()).toContain('optimizer.state.0.exp_avg');
    expect(whole.keys()).toContain('state_dict.weight');
    const inner = await open('training-legacy.pt', { root: 'optimizer.state' });
    expect(inner.keys()).toEqual(['0.step', '0.exp_avg']);
    await expect(open('training-zip.pt', { root: 'model' })).rejects.toThrow(
      'the root is a part of the file; got "model"; it has state_dict, optimizer, epoch',
    );
  });

  it('gives the rest of a file as plain objects', async () => {
    const { value } = await open('adapter-zip.pkl');
    expect(value).toMatchObject({
      rank_unet: 4,
      unet_lora_decoder_modules: [],
      state_dict_unet: {
        'down_blocks.0.attentions.0.to_q.lora_A.default.weight': { dtype: 'F32', shape: [4, 8] },
      },
    });
  });

  it('reads values, and names the closest key when there is none', async () => {
    const checkpoint = await open('views-zip.pt');
    expect(await readFloat32(checkpoint, 'expanded')).toEqual(new Float32Array(12).fill(1.5));
    expect(checkpoint.info('scalar')).toEqual({ dtype: 'F32', shape: [] });
    expect(() => checkpoint.info('transpose')).toThrow(
      'views-zip.pt: the tensor asked for is there; got "transpose"; closest: transposed',
    );
  });

  it.each(['views-zip.pt', 'views-legacy.pt'])('reads only what a tensor of %s uses', async (name) => {
    const { source, read } = counted(fixtureSource('golden', 'weights', 'torch', name));
    const checkpoint = await openTorch(source);
    const before = read();
    await checkpoint.read('slice');
    await checkpoint.read('slice');
    // Two rows of six floats, twice, and where they are: a local header or a length, once.
    expect(read() - before).toBeLessThanOrEqual(2 * 48 + 30);
  });
});

describe.skipIf(pythonExecutable() === undefined)('files that Python has just written', () => {
  let folder = '';
  let names: string[] = [];
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rass-torch-'));
    names = runPython(fixturePath('oracle', 'weights_torch.py'), [folder]).trim().split('\n');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('are read, larger than every buffer on the way, and no tensor before it is asked for', async () => {
    expect(names).toHaveLength(10);
    for (const name of names) {
      const reference = await openCheckpoint(join(folder, `${name}.safetensors`));
      const { source, read } = counted(await fileSource(join(folder, name)));
      const checkpoint = await openTorch(source);
      if (name.startsWith('large')) {
        // One window of the file, which is three times as long, and the directory of a zip.
        expect(source.size).toBeGreaterThan(3e6);
        expect(read()).toBeLessThan(1.2e6);
      }
      expect(await contentsOf(checkpoint), name).toEqual(await contentsOf(reference));
      await checkpoint.close();
      await reference.close();
    }
  });
});

describe('damaged files', () => {
  const names = ['training-zip.pt', 'views-legacy.pt', 'numpy-4.pkl', 'plain-2.pkl', 'deflated.pt'];

  it.each(names)('%s, cut anywhere, is refused or read without a crash', async (name) => {
    const bytes = fixtureBytes('golden', 'weights', 'torch', name);
    for (let length = 0; length < bytes.length; length += 7) {
      const cut = openTorch(bufferSource(bytes.slice(0, length), name)).then((checkpoint) => contentsOf(checkpoint));
      const error = await cut.catch((reason: unknown) => reason);
      expect(error, `${name} cut at ${length}`).toHaveProperty('name', 'PickleError');
    }
  });

  it.each(names)('%s with a byte changed is refused or read without a crash', async (name) => {
    const bytes = fixtureBytes('golden', 'weights', 'torch', name);
    let refused = 0;
    for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 1000)) {
      const damaged = bytes.slice();
      damaged[at] ^= 1 << (at % 8);
      const opened = openTorch(bufferSource(damaged, name)).then((checkpoint) => contentsOf(checkpoint));
      const error = await opened.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error === undefined) continue;
      refused++;
      expect((error as Error).name, `${name}, byte ${at}: ${error}`).toMatch(/^(Pickle|Weights)Error$/);
    }
    expect(refused).toBeGreaterThan(0);
  });
});
