import { describe, expect, it } from 'vitest';
import { type ByteSource, bufferSource } from '../source/byte-source.ts';
import { fileOf } from './mutations.test-support.ts';
import { openSafetensors } from './read.ts';

const open = (header: string, dataBytes = 8, length?: bigint) =>
  openSafetensors(bufferSource(fileOf(header, dataBytes, length), 'm.safetensors'));

const F32 = '"dtype":"F32","shape":[2],"data_offsets":[0,8]';

describe('each rule by its name and in words', () => {
  it.each([
    ['HeaderTooLarge', '{}', 0, 100_000_001n, /a header has at most 100000000 bytes; got 100000001/],
    ['InvalidHeaderLength', '{}', 0, 99n, /the header lies inside the file; got a header of 99 bytes in a file of 10/],
    [
      'InvalidHeaderDeserialization',
      `{"a":{${F32}},}`,
      8,
      undefined,
      /the header is JSON: a key is a string.*character 54/,
    ],
    [
      'InvalidHeaderDeserialization',
      `{"a":{${F32},"dtype":"F32"}}`,
      8,
      undefined,
      /tensor "a": a field stands once; dtype/,
    ],
    ['InvalidHeaderDeserialization', '{"a":{"dtype":"F32"}}', 0, undefined, /tensor "a": .*; shape is missing/],
    ['InvalidHeaderDeserialization', '{"__metadata__":{"a":1}}', 0, undefined, /strings only; "a" is not one; got 1/],
    [
      'InvalidHeaderDeserialization',
      '{"a":{"dtype":"F33","shape":[],"data_offsets":[0,0]}}',
      0,
      undefined,
      /got "F33"/,
    ],
    [
      'InvalidOffset',
      '{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
      3,
      undefined,
      /without a hole.*got 1 to 3 where 0/,
    ],
    [
      'TensorInvalidInfo',
      '{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,2]}}',
      2,
      undefined,
      /got 2 bytes for U8 \[3\]/,
    ],
    ['MisalignedSlice', '{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}', 2, undefined, /F4 \[3\], 12 bits/],
    [
      'ValidationOverflow',
      '{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}',
      0,
      undefined,
      /64 bits/,
    ],
    ['MetadataIncompleteBuffer', `{"a":{${F32}}}`, 7, undefined, /got 8 bytes of tensors and 7 bytes of data.*cut off/],
    ['MetadataIncompleteBuffer', `{"a":{${F32}}}`, 9, undefined, /has bytes that no tensor owns/],
  ] as const)('%s: %s', async (rule, header, dataBytes, length, text) => {
    const opened = open(header, dataBytes, length);
    await expect(opened).rejects.toMatchObject({ name: 'SafetensorsError', rule });
    await expect(opened).rejects.toThrow(text);
    await expect(opened).rejects.toThrow(/^m\.safetensors: /);
  });

  it('a file that is too short, or whose header is not UTF-8', async () => {
    await expect(openSafetensors(bufferSource(new Uint8Array(7)))).rejects.toMatchObject({ rule: 'HeaderTooSmall' });
    const file = fileOf(Uint8Array.of(0x7b, 0xff, 0x7d), 0);
    await expect(openSafetensors(bufferSource(file))).rejects.toMatchObject({ rule: 'InvalidHeader' });
  });
});

it('neither reads nor allocates what a hostile length announces', async () => {
  const reads: number[] = [];
  const file = fileOf('{}', 0, 99_999_999n);
  const source: ByteSource = {
    ...bufferSource(file),
    read(start, end) {
      reads.push(end - start);
      return bufferSource(file).read(start, end);
    },
  };
  await expect(openSafetensors(source)).rejects.toMatchObject({ rule: 'InvalidHeaderLength' });
  expect(reads).toEqual([8]);
});

it('reads one tensor by its range, and no more', async () => {
  const header =
    '{"__metadata__":{"format":"pt"},"b":{"dtype":"I16","shape":[2],"data_offsets":[1,5]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
  const file = fileOf(header, Uint8Array.of(9, 1, 0, 254, 255));
  const reads: [number, number][] = [];
  const plain = bufferSource(file);
  const checkpoint = await openSafetensors({
    ...plain,
    read(start, end) {
      reads.push([start, end]);
      return plain.read(start, end);
    },
  });
  expect(checkpoint.keys()).toEqual(['a', 'b']);
  expect(checkpoint.metadata).toEqual({ format: 'pt' });
  expect(checkpoint.has('b')).toBe(true);
  expect(checkpoint.has('c')).toBe(false);
  expect(checkpoint.info('b')).toEqual({ dtype: 'I16', shape: [2] });
  reads.length = 0;
  // The offset is odd: a view of the file itself would not be aligned.
  expect((await checkpoint.read('b')).data).toEqual(Int16Array.of(1, -2));
  expect(reads).toEqual([[file.length - 4, file.length]]);
  expect(() => checkpoint.info('bb')).toThrow(/got "bb"; closest: b, a/);
});

it('keeps integers above 2^53, which a number would round, apart from each other', async () => {
  const shape = '[0,9007199254740993]';
  const checkpoint = await open(`{"a":{"dtype":"F32","shape":${shape},"data_offsets":[0,0]}}`, 0);
  expect(checkpoint.info('a').shape[0]).toBe(0);
  await expect(
    open('{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,9007199254740992]}}', 0),
  ).rejects.toMatchObject({ rule: 'TensorInvalidInfo' });
});

it('stops when it is told to', async () => {
  const checkpoint = await open(`{"a":{${F32}}}`);
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(checkpoint.read('a', { signal })).rejects.toThrow('enough');
});

it('reads parts of a tensor, whose bounds are checked', async () => {
  const packed = '"dtype":"F4","shape":[4],"data_offsets":[8,10]';
  const checkpoint = await open(`{"a":{${F32}},"p":{${packed}}}`, 10);
  expect((await checkpoint.readPart?.('a', { start: 1, count: 1 }))?.length).toBe(1);
  expect((await checkpoint.readPart?.('p', { start: 0, count: 4 }))?.length).toBe(2);
  await expect(checkpoint.readPart?.('a', { start: 1, count: 2 })).rejects.toThrow(
    'm.safetensors: "a": a part lies inside the 2 elements; got 2 from 1',
  );
  await expect(checkpoint.readPart?.('p', { start: 0, count: 2 })).rejects.toThrow(
    '"p": a tensor of F4 is read whole; got 2 from 0',
  );
  await expect(checkpoint.readPart?.('a', { start: 0, count: 1 }, { into: new Uint8Array(8) })).rejects.toThrow(
    'm.safetensors: "a": a part fills what it is read into; got 8 bytes for 4',
  );
  await expect(checkpoint.readPart?.('b', { start: 0, count: 1 })).rejects.toThrow('got "b"; closest: a, p');
});
