import { randomValues } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { readFloat32 } from '../checkpoint.ts';
import { describeCheckpoint } from '../describe.ts';
import { byteLengthOf } from '../dtype/dtype.ts';
import { fromFloat32 } from '../dtype/encode.ts';
import { openFixture } from '../fixtures.test-support.ts';
import { openCheckpoint } from '../open.ts';
import { startShardedSafetensors } from '../safetensors/shards.ts';
import { encodeSafetensors, startSafetensors, type TensorToWrite } from '../safetensors/write.ts';
import { type MemorySink, memorySink } from '../sink/byte-sink.ts';
import { blobFolder } from '../source/folder.ts';
import { dequantizeAffine, quantizeAffine } from './affine.ts';
import { canQuantize, quantizedSpecs, writeQuantized } from './write.ts';

const golden = await openFixture('golden', 'weights', 'quantized.safetensors');
const BITS = [4, 8] as const;
const GROUPS = [32, 64, 128] as const;
const cases = BITS.flatMap((bits) => GROUPS.flatMap((groupSize) => ['normal', 'odd'].map((name) => ({ bits, groupSize, name })))); // biome-ignore format: one line

describe('codes, scales and biases, against MLX', () => {
  it.each(cases)('$name rows, $bits bits in groups of $groupSize', async ({ bits, groupSize, name }) => {
    const at = `${name}/${bits}/${groupSize}`;
    const values = await readFloat32(golden, `values/${name}`);
    const ours = quantizeAffine(values, 128, { bits, groupSize });
    expect(ours.scales).toEqual(await readFloat32(golden, `${at}/scales`));
    expect(ours.biases).toEqual(await readFloat32(golden, `${at}/biases`));
    expect(ours.codes).toEqual((await golden.read(`${at}/codes`)).data);
    expect(dequantizeAffine(ours, { bits, groupSize })).toEqual(await readFloat32(golden, `${at}/values`));
  });
});

const OPTIONS = { bits: 4, groupSize: 32 } as const;
const shapes = new Map([
  ['conv.weight', [3, 32, 3, 3]],
  ['in_proj', [6, 64]],
  ['odd.weight', [5, 4, 3, 3]],
]);
const values = new Map([...shapes].map(([key, shape], i) => [key, randomValues(shape.reduce((a, b) => a * b), { seed: i })])); // biome-ignore format: one line
// Far from 0: what fills its short rows must not be 0, nor another row's.
values.set(
  'odd.weight',
  values.get('odd.weight')!.map((value, i) => 0.1 * value + 5 + Math.floor(i / 36)),
);
const bias = Float32Array.of(1, 2, 3);

function specsOf() {
  const { specs, metadata } = quantizedSpecs(shapes, OPTIONS);
  return { specs: specs.set('conv.bias', { dtype: 'F32', shape: [3] }), metadata: { ...metadata, format: 'pt' } };
}

describe('a file with quantized tensors', () => {
  it('is read as float32 in the shapes that were, beside tensors that are as they were', async () => {
    const { specs, metadata } = specsOf();
    const sink = memorySink();
    const writer = await startSafetensors(sink, specs, { metadata });
    const kept = new Map<string, Float32Array>();
    for (const [key, shape] of shapes)
      kept.set(key, await writeQuantized(writer, key, values.get(key)!, shape, OPTIONS));
    await writer.write('conv.bias', bias);
    await writer.finish();
    const checkpoint = await openCheckpoint(sink.bytes());
    expect(checkpoint.keys().sort()).toEqual(['conv.bias', 'conv.weight', 'in_proj', 'odd.weight']);
    expect(checkpoint.format).toBe('safetensors, 4 bits');
    expect(checkpoint.has('conv.scales')).toBe(false);
    expect(checkpoint.info('conv.weight')).toEqual({ dtype: 'F32', shape: [3, 32, 3, 3] });
    expect((await checkpoint.read('conv.bias')).data).toEqual(bias);
    for (const [key, expected] of kept) {
      const { data, shape } = await checkpoint.read(key);
      expect([data, shape]).toEqual([expected, shapes.get(key)]);
      // Half a step is what rounding loses; the end that is not hit exactly is cut off by as much again at most.
      if (key === 'odd.weight') continue;
      const own = values.get(key)!;
      for (let group = 0; group < own.length / 32; group++) {
        const of = own.subarray(group * 32, (group + 1) * 32);
        const step = (Math.max(...of) - Math.min(...of)) / 15;
        for (const [i, value] of of.entries())
          expect(Math.abs(value - (data[group * 32 + i] as number))).toBeLessThan(1.01 * step);
      }
    }
    // Of rows of 36 the last group is filled up, with nothing that moves its ends.
    const [odd, own] = [kept.get('odd.weight')!, values.get('odd.weight')!];
    for (let row = 0; row < 5; row++) {
      const last = own.subarray(row * 36 + 32, (row + 1) * 36);
      const step = (Math.max(...last) - Math.min(...last)) / 15;
      const ofHalf = 2 ** -10 * Math.max(...last);
      for (const [i, value] of last.entries())
        expect(Math.abs(value - odd[row * 36 + 32 + i])).toBeLessThan(1.01 * step + ofHalf);
    }
    const { bytes, metadata: texts } = describeCheckpoint(checkpoint);
    expect(texts).toEqual({ format: 'pt' });
    expect(bytes).toBe([...specs.values()].reduce((sum, { dtype, shape }) => sum + byteLengthOf(dtype, shape), 0));
    expect(() => checkpoint.info('conv.scales')).toThrow(
      'the tensor asked for is there; got "conv.scales"; closest: conv.bias',
    );
    expect(canQuantize([3, 4, 3, 3], OPTIONS)).toBe(true);
    expect(canQuantize([3, 4, 3, 3], { ...OPTIONS, bits: 8 })).toBe(false);
    expect(canQuantize([32], OPTIONS)).toBe(false);
  });

  it('is read from shards, wherever the parts of a tensor lie', async () => {
    const { specs, metadata } = specsOf();
    const sinks = new Map<string, MemorySink>();
    const make = async (file: string) => {
      const sink = memorySink();
      sinks.set(file, sink);
      return sink;
    };
    const writer = await startShardedSafetensors(make, specs, { metadata, maxShardBytes: 200 });
    for (const [key, shape] of shapes) await writeQuantized(writer, key, values.get(key)!, shape, OPTIONS);
    await writer.write('conv.bias', bias);
    await writer.finish();
    const files = new Map([...sinks].map(([file, sink]) => [file, new Blob([sink.bytes()])]));
    expect(files.size).toBeGreaterThan(3);
    const index = [...files.keys()].find((file) => file.endsWith('.index.json'))!;
    const checkpoint = await openCheckpoint(files.get(index)!, { folder: blobFolder(files) });
    expect(checkpoint.keys().sort()).toEqual(['conv.bias', 'conv.weight', 'in_proj', 'odd.weight']);
    const read = await readFloat32(checkpoint, 'in_proj');
    expect(read).toEqual(dequantizeAffine(quantizeAffine(values.get('in_proj')!, 64, OPTIONS, { half: true }), OPTIONS)); // biome-ignore format: one line
  });

  it('is read from files that were quantized each by itself', async () => {
    const files = new Map<string, Blob>();
    for (const key of ['conv.weight', 'in_proj']) {
      const { specs, metadata } = quantizedSpecs(new Map([[key, shapes.get(key)!]]), OPTIONS);
      const sink = memorySink();
      const writer = await startSafetensors(sink, specs, { metadata });
      await writeQuantized(writer, key, values.get(key)!, shapes.get(key)!, OPTIONS);
      await writer.finish();
      files.set(`${key}.safetensors`, new Blob([sink.bytes()]));
    }
    const index = (...keys: string[]): Blob =>
      new Blob([JSON.stringify({ weight_map: Object.fromEntries(keys.map((key) => [key, `${key}.safetensors`])) })]);
    const folder = blobFolder(files);
    const checkpoint = await openCheckpoint(index('conv.weight', 'in_proj'), { folder });
    expect(checkpoint.keys().sort()).toEqual(['conv.weight', 'in_proj']);
    expect(checkpoint.info('in_proj')).toEqual({ dtype: 'F32', shape: [6, 64] });
    const other = quantizedSpecs(new Map([['other', [2, 64]]]), { bits: 8, groupSize: 32 });
    const sink = memorySink();
    const writer = await startSafetensors(sink, other.specs, { metadata: other.metadata });
    await writeQuantized(writer, 'other', new Float32Array(128), [2, 64], { bits: 8, groupSize: 32 });
    await writer.finish();
    files.set('other.safetensors', new Blob([sink.bytes()]));
    await expect(openCheckpoint(index('in_proj', 'other'), { folder })).rejects.toThrow('quantized alike; got');
  });

  const file = async (quantization: unknown, tensors: Record<string, TensorToWrite> = {}) => {
    const text = typeof quantization === 'string' ? quantization : JSON.stringify(quantization);
    return openCheckpoint(await encodeSafetensors(tensors, { metadata: { 'rass.quantization': text } }));
  };
  const said = { mode: 'affine', bits: 4, group_size: 32, shapes: { 'a.weight': [2, 32] } };
  const parts: Record<string, TensorToWrite> = {
    'a.weight': { dtype: 'U32', shape: [2, 4], data: new Uint32Array(8) },
    'a.scales': { dtype: 'F16', shape: [2, 1], data: fromFloat32(Float32Array.of(1, 2), 'F16') },
    'a.biases': { dtype: 'F16', shape: [2, 1], data: fromFloat32(Float32Array.of(3, 4), 'F16') },
  };

  it('says what is wrong with it', async () => {
    const { 'a.biases': _, ...without } = parts;
    const wrong: [() => Promise<unknown>, string][] = [
      [() => file('{'), 'quantization is JSON; got "{"'],
      [() => file(null), 'quantization is an object; got null'],
      [() => file({ ...said, mode: 'nf4' }), 'quantization is of mode affine; got "nf4"'],
      [() => file({ ...said, bits: 3 }), 'quantization is of 4 or 8 bits; got 3'],
      [() => file({ ...said, group_size: 33 }), 'a group is of 32, 64 or 128; got 33'],
      [() => file({ ...said, shapes: undefined }), 'quantized tensors have shapes; got undefined'],
      [() => file({ ...said, shapes: { 'a.weight': [2, -32] } }), '"a.weight" has a shape of rows; got [2,-32]'],
      [() => file(said, without), 'got "a.biases"'],
      [
        () => file({ ...said, bits: 8 }, parts),
        '"a.weight" of a quantized tensor is U32 [2, 8]; got U32 [2, 4]; write it anew',
      ],
      [() => file({ ...said, shapes: { 'a.weight': [2, 33] } }, parts), 'is U32 [2, 8]; got U32 [2, 4]'],
    ];
    for (const [open, message] of wrong) await expect(open()).rejects.toThrow(message);
    expect(await readFloat32(await file(said, parts), 'a.weight')).toEqual(
      Float32Array.from({ length: 64 }, (_, i) => (i < 32 ? 3 : 4)),
    );
  });

  it('is not made of what it cannot hold', async () => {
    expect(() => quantizedSpecs(new Map([['a', [64]]]), OPTIONS)).toThrow('"a" has rows of numbers; got [64]');
    expect(() => quantizedSpecs(new Map([['a', [0, 32]]]), OPTIONS)).toThrow('"a" has rows of numbers; got [0, 32]');
    const twice = new Map([['a', [2, 32]], ['a.weight', [2, 32]]]); // biome-ignore format: one line
    expect(() => quantizedSpecs(twice, OPTIONS)).toThrow('each tensor has parts of its own; got "a.scales" of two');
    const writer = await startSafetensors(memorySink(), quantizedSpecs(new Map([['a', [2, 36]]]), OPTIONS).specs);
    await expect(writeQuantized(writer, 'a', new Float32Array(80), [2, 36], OPTIONS)).rejects.toThrow('"a" has the numbers of its shape; got 80 for [2, 36]'); // biome-ignore format: one line
    const nan = new Float32Array(72).fill(Number.NaN);
    await expect(writeQuantized(writer, 'a', nan, [2, 36], OPTIONS)).rejects.toThrow('"a": quantizeAffine: values are finite'); // biome-ignore format: one line
    const wide = Float32Array.from({ length: 32 }, (_, i) => (i % 2 === 0 ? 2e38 : -2e38));
    expect(() => quantizeAffine(wide, 32, OPTIONS)).toThrow('the scale and bias of each group in their type; got');
    expect(() => quantizeAffine(new Float32Array(64), 48, OPTIONS)).toThrow(
      'quantizeAffine: rows are whole groups of 32; got rows of 48 in 64 values; leave them as they are',
    );
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const broken = new Float32Array(32);
      broken[3] = value;
      expect(() => quantizeAffine(broken, 32, OPTIONS)).toThrow(`got ${value}; leave them as they are`);
    }
    const large = new Float32Array(32);
    large[3] = 1e6;
    expect(() => quantizeAffine(large, 32, OPTIONS, { half: true })).toThrow('got 1000000; leave them as they are');
  });
});
