import { randomValues } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { readFloat32 } from '../checkpoint.ts';
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
    // Rows of 36 are filled up to 64 with the last value: as close as rows of whole groups.
    const [odd, own] = [kept.get('odd.weight')!, values.get('odd.weight')!];
    const off = own.map((value, i) => Math.abs(value - odd[i]));
    expect(Math.max(...off)).toBeLessThan((1.01 * (Math.max(...own) - Math.min(...own))) / 15);
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

  const file = async (quantization: unknown, tensors: Record<string, TensorToWrite> = {}) => {
    const text = typeof quantization === 'string' ? quantization : JSON.stringify(quantization);
    return openCheckpoint(await encodeSafetensors(tensors, { metadata: { quantization: text } }));
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

  it('is not made of what it cannot hold', () => {
    expect(() => quantizeAffine(new Float32Array(64), 48, OPTIONS)).toThrow(
      'quantizeAffine: rows are whole groups of 32; got rows of 48 in 64 values; leave them as they are',
    );
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const broken = new Float32Array(32);
      broken[3] = value;
      expect(() => quantizeAffine(broken, 32, OPTIONS)).toThrow(`got ${value}; leave them in F32`);
    }
    const large = new Float32Array(32);
    large[3] = 1e6;
    expect(() => quantizeAffine(large, 32, OPTIONS, { half: true })).toThrow('values are finite and fit F16');
  });
});
