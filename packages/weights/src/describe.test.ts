import { expect, it } from 'vitest';
import type { Checkpoint } from './checkpoint.ts';
import { describeCheckpoint } from './describe.ts';
import { openSafetensors } from './safetensors/read.ts';
import { encodeSafetensors } from './safetensors/write.ts';
import { bufferSource } from './source/byte-source.ts';

it('counts a checkpoint by type and by part, and prints it', async () => {
  const file = await encodeSafetensors(
    {
      'unet.conv.weight': { dtype: 'F32', shape: [40, 30], data: new Float32Array(1200) },
      'unet.conv.bias': { dtype: 'F16', shape: [40], data: new Uint16Array(40) },
      step: { dtype: 'I64', shape: [], data: BigInt64Array.of(3n) },
    },
    { metadata: { format: 'pt', note: 'x'.repeat(100) } },
  );
  const description = describeCheckpoint(await openSafetensors(bufferSource(file, 'm.safetensors')));
  expect(description).toMatchObject({
    tensors: 3,
    parameters: 1241,
    bytes: 4888,
    dtypes: { F32: { tensors: 1, bytes: 4800 }, F16: { tensors: 1, bytes: 80 }, I64: { tensors: 1, bytes: 8 } },
    groups: [
      { prefix: 'unet', tensors: 2, parameters: 1240 },
      { prefix: 'step', tensors: 1, parameters: 1 },
    ],
  });
  expect(String(description)).toBe(
    [
      'm.safetensors: safetensors, 3 tensors, 1.24 K parameters, 4.77 KiB',
      'type  tensors      size',
      'I64         1       8 B',
      'F32         1  4.69 KiB',
      'F16         1      80 B',
      '',
      'part  tensors  parameters',
      'unet        2      1.24 K',
      'step        1           1',
      '',
      'metadata',
      '  format: pt',
      `  note: ${'x'.repeat(60)}...`,
    ].join('\n'),
  );
});

it('describes an empty checkpoint', async () => {
  const checkpoint = await openSafetensors(bufferSource(await encodeSafetensors({}), 'none'));
  expect(String(describeCheckpoint(checkpoint))).toBe('none: safetensors, 0 tensors, 0 parameters, 0 B');
});

it('prints more parts than a call takes arguments', () => {
  const keys = Array.from({ length: 130_000 }, (_, i) => `part${i}.weight`);
  const checkpoint: Checkpoint = {
    name: 'many',
    format: 'test',
    metadata: {},
    keys: () => keys,
    has: () => true,
    info: () => ({ dtype: 'F32', shape: [1] }),
    read: () => Promise.reject(new Error('not read')),
    close: async () => {},
  };
  expect(`${describeCheckpoint(checkpoint)}`.split('\n')).toHaveLength(130_000 + 5);
});

it('prints keys and metadata with escapes in place of what a terminal would act on', async () => {
  const file = await encodeSafetensors(
    { '\u001b[2J\n\u0007\u202egpj.weight': { dtype: 'F32', shape: [1], data: new Float32Array(1) } },
    { metadata: { 'a\u001b]0;title\u0007': 'b\u009b31m\r\nc' } },
  );
  const text = `${describeCheckpoint(await openSafetensors(bufferSource(file, 'k\u001b.safetensors')))}`;
  expect(text).toContain('k\\u001b.safetensors: safetensors');
  expect(text).toContain('\\u001b[2J\\n\\u0007\\u202egpj');
  expect(text).toContain('a\\u001b]0;title\\u0007: b\\u009b31m\\u000d\\nc');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them is there
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
});
