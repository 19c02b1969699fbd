import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pythonExecutable, runPython } from '@rass/testkit';
import { afterAll, describe, expect, it } from 'vitest';
import { bitsOf, DTYPES, type Dtype, viewAs } from '../dtype/dtype.ts';
import { contentsOf, fixturePath } from '../fixtures.test-support.ts';
import { type ByteSink, memorySink } from '../sink/byte-sink.ts';
import { bufferSource } from '../source/byte-source.ts';
import { openSafetensors } from './read.ts';
import { encodeSafetensors, startSafetensors, type TensorToWrite, writeSafetensors } from './write.ts';

const folder = mkdtempSync(join(tmpdir(), 'rass-write-'));
afterAll(() => rmSync(folder, { recursive: true }));
const oracle = fixturePath('oracle', 'weights_safetensors.py');
const withoutPython = pythonExecutable() === undefined;

/** A tensor of 2 x 3 x 4 with bytes that differ from place to place. */
function sample(dtype: Dtype, place: number): TensorToWrite {
  const bytes = Uint8Array.from(
    { length: (24 * bitsOf(dtype)) / 8 },
    (_, i) => (37 * i + place) % (dtype === 'BOOL' ? 2 : 251),
  );
  return { dtype, shape: [2, 3, 4], data: viewAs(dtype, bytes) };
}

const everyType = Object.fromEntries(DTYPES.map((dtype, place) => [`tensor ${dtype}`, sample(dtype, place)]));
const read = async (bytes: Uint8Array) => contentsOf(await openSafetensors(bufferSource(bytes)));

describe('files written here', () => {
  it('are read back, every type', async () => {
    const contents = await read(await encodeSafetensors(everyType, { metadata: { made: 'here' } }));
    for (const [name, { dtype, data }] of Object.entries(everyType)) {
      const bytes = Buffer.from((data as Uint8Array).buffer).toString('hex');
      expect(contents[name]).toBe(`${dtype} [2, 3, 4] ${bytes}`);
    }
  });

  it.skipIf(withoutPython)('are read by the Python package, every type, with their metadata', async () => {
    const metadata = { made: 'here', text: '{"é": "😀\\n\u007f"}' };
    const bytes = await encodeSafetensors(everyType, { metadata });
    const path = join(folder, 'ours.safetensors');
    writeFileSync(path, bytes);
    expect(JSON.parse(runPython(oracle, ['contents', path]))).toEqual({ metadata, tensors: await read(bytes) });
  });

  it.skipIf(withoutPython)('load in torch with the types and values that were written', async () => {
    const path = join(folder, 'torch.safetensors');
    const tensors = {
      half: { dtype: 'F16', shape: [2], data: Uint16Array.of(0x3c00, 0xc200) },
      brain: { dtype: 'BF16', shape: [1, 2], data: Uint16Array.of(0x3f80, 0xc040) },
      float8: { dtype: 'F8_E4M3', shape: [2], data: Uint8Array.of(0x38, 0xc4) },
      long: { dtype: 'I64', shape: [], data: BigInt64Array.of(-7n) },
      flag: { dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) },
      none: { dtype: 'F32', shape: [0, 3], data: new Float32Array(0) },
    } satisfies Record<string, TensorToWrite>;
    writeFileSync(path, await encodeSafetensors(tensors));
    expect(JSON.parse(runPython(oracle, ['load', path]))).toEqual({
      half: ['torch.float16', [1, -3]],
      brain: ['torch.bfloat16', [1, -3]],
      float8: ['torch.float8_e4m3fn', [1, -3]],
      long: ['torch.int64', [-7]],
      flag: ['torch.bool', [0, 1]],
      none: ['torch.float32', []],
    });
  });

  it.skipIf(withoutPython)('are the same bytes as Python writes of the same tensors', async () => {
    const path = join(folder, 'theirs.safetensors');
    runPython(oracle, ['write', path]);
    const theirs = new Uint8Array(readFileSync(path));
    const checkpoint = await openSafetensors(bufferSource(theirs));
    expect(checkpoint.metadata).toEqual({ from: 'Python' });
    expect(JSON.parse(runPython(oracle, ['contents', path])).tensors).toEqual(await contentsOf(checkpoint));
    const types = new Set(checkpoint.keys().map((key) => checkpoint.info(key).dtype));
    // The package cannot write the two 6-bit types.
    expect([...types].sort()).toEqual(DTYPES.filter((dtype) => !dtype.startsWith('F6_')).sort());
    const tensors: Record<string, TensorToWrite> = {};
    for (const key of checkpoint.keys().reverse()) tensors[key] = await checkpoint.read(key);
    const ours = await encodeSafetensors(tensors, { metadata: checkpoint.metadata });
    expect(Buffer.compare(ours, theirs)).toBe(0);
  });
});

it('gives up, once and without a trace, at whichever write fails', async () => {
  const writes = 1 + Object.keys(everyType).length;
  for (let failing = 0; failing < writes; failing++) {
    const calls: string[] = [];
    const sink = memorySink();
    const full: ByteSink = {
      ...sink,
      writeAt(position, bytes) {
        if (calls.push('write') - 1 === failing) return Promise.reject(new Error('no space left on device'));
        return sink.writeAt(position, bytes);
      },
      commit: async () => void calls.push('commit'),
      abort: async () => void calls.push('abort'),
    };
    await expect(writeSafetensors(full, everyType)).rejects.toThrow('no space left on device');
    expect(calls).toEqual([...new Array(failing + 1).fill('write'), 'abort']);
  }
});

describe('a writer', () => {
  const specs = {
    a: { dtype: 'F32', shape: [2] },
    b: { dtype: 'U8', shape: [3] },
    '12': { dtype: 'F32', shape: [] },
  } as const;

  it('takes tensors in any order and puts wide types first, then by name', async () => {
    const sink = memorySink();
    const writer = await startSafetensors(sink, specs);
    expect(writer.names).toEqual(['12', 'a', 'b']);
    await writer.write('b', Uint8Array.of(1, 2, 3));
    await writer.write('12', Float32Array.of(5));
    await writer.write('a', Float32Array.of(6, 7));
    expect(() => sink.bytes()).toThrow('bytes are there once the writer has finished');
    await writer.finish();
    const contents = await read(sink.bytes());
    expect(contents).toEqual({ '12': 'F32 [] 0000a040', a: 'F32 [2] 0000c0400000e040', b: 'U8 [3] 010203' });
  });

  it('takes a tensor in parts that follow each other', async () => {
    const sink = memorySink('out');
    const writer = await startSafetensors(sink, specs);
    await writer.writePart('b', 0, Uint8Array.of(1, 2));
    await expect(writer.writePart('b', 1, Uint8Array.of(2))).rejects.toThrow(
      'out: "b": parts follow each other up to 3 bytes; got bytes 1 to 2 where 2 is next',
    );
    await expect(writer.writePart('b', 2, Uint8Array.of(3, 4))).rejects.toThrow('got bytes 2 to 4 where 2 is next');
    await expect(writer.writePart('a', 0, Int32Array.of(1))).rejects.toThrow('takes a Float32Array');
    await expect(writer.write('b', Uint8Array.of(1, 2, 3))).rejects.toThrow(
      'out: "b": a tensor that comes in parts ends in parts; got all of it',
    );
    await writer.writePart('b', 2, Uint8Array.of(3));
    await expect(writer.writePart('b', 3, Uint8Array.of(4))).rejects.toThrow('got "b": it was written');
    await Promise.all([writer.writePart('a', 0, Float32Array.of(6)), writer.writePart('a', 1, Float32Array.of(7))]);
    expect(writer.isComplete).toBe(false);
    await writer.write('12', Float32Array.of(5));
    await writer.finish();
    const contents = await read(sink.bytes());
    expect(contents).toEqual({ '12': 'F32 [] 0000a040', a: 'F32 [2] 0000c0400000e040', b: 'U8 [3] 010203' });
  });

  it('takes texts of the same length at the end', async () => {
    const start = async (sink = memorySink('out')) => {
      const writer = await startSafetensors(sink, { b: specs.b }, { metadata: { hash: '????', kept: 'yes' } });
      await writer.write('b', Uint8Array.of(1, 2, 3));
      return { sink, writer };
    };
    const { sink, writer } = await start();
    await writer.finish({ hash: 'a1b2' });
    const checkpoint = await openSafetensors(bufferSource(sink.bytes()));
    expect(checkpoint.metadata).toEqual({ hash: 'a1b2', kept: 'yes' });
    expect((await checkpoint.read('b')).data).toEqual(Uint8Array.of(1, 2, 3));
    await expect((await start()).writer.finish({ hash: 'a1b2c3d4e5f6a7b8' })).rejects.toThrow(
      'out: texts given at the end are as long as those at the start; got a header of 120 bytes for one of 112; ' +
        'start with a text of the same length',
    );
    await expect((await start()).writer.finish({ more: '' })).rejects.toThrow('got "more", which is new');
  });

  it('sorts names by code point, as Python does', async () => {
    const names = ['\uffff', '😀', 'z', 'é'];
    const tensors = Object.fromEntries(
      names.map((name) => [name, { dtype: 'U8', shape: [], data: Uint8Array.of(1) } as const]),
    );
    const checkpoint = await openSafetensors(bufferSource(await encodeSafetensors(tensors)));
    expect(checkpoint.keys()).toEqual(['z', 'é', '\uffff', '😀']);
  });

  it('refuses what does not fit, and says what would', async () => {
    const writer = await startSafetensors(memorySink('out'), specs);
    await expect(writer.write('a', Float32Array.of(1))).rejects.toThrow(
      '"a", F32 [2], takes a Float32Array of 8 bytes; got a Float32Array of 4; fromFloat32 converts',
    );
    await expect(writer.write('a', Int32Array.of(1, 2))).rejects.toThrow('got a Int32Array of 8');
    await expect(writer.write('c', Uint8Array.of(1))).rejects.toThrow(
      'out: each announced tensor is written once; got "c": no such name',
    );
    await writer.write('b', Uint8Array.of(1, 2, 3));
    await expect(writer.write('b', Uint8Array.of(1, 2, 3))).rejects.toThrow('got "b": it was written');
    await expect(writer.finish()).rejects.toThrow('out: every announced tensor is written; 2 were not: 12, a');
    await expect(writer.write('a', Float32Array.of(1, 2))).rejects.toThrow('the writer is over');
  });

  it.each([
    [{ __metadata__: { dtype: 'U8', shape: [0] } }, {}, 'a tensor’s name is well-formed text other than __metadata__'],
    [{ '\ud800': { dtype: 'U8', shape: [0] } }, {}, 'got "\\ud800"'],
    [{ a: { dtype: 'F128', shape: [0] } }, {}, '"a" has a type of the format and whole sizes; got F128 [0]'],
    [{ a: { dtype: 'U8', shape: [1.5] } }, {}, 'got U8 [1.5]'],
    [{ a: { dtype: 'F4', shape: [3] } }, {}, 'a packed tensor fills whole bytes; got F4 [3], 12 bits'],
    [{}, { a: 1 }, 'metadata holds well-formed text only; got 1 for "a"; use JSON.stringify'],
  ])('does not start a file that could not be read: %j %j', async (tensors, metadata, text) => {
    const started = startSafetensors(memorySink(), tensors as never, { metadata: metadata as never });
    await expect(started).rejects.toThrow(text.replace('’', "'"));
  });
});
