import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pythonExecutable, runPython } from '@rass/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { encodeRecord } from './event-record.ts';
import { openTensorboard } from './tensorboard.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-tensorboard-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const oracle = fileURLToPath(new URL('../../../../../test-fixtures/oracle/training_events.py', import.meta.url));
const read = (files: string[]) => JSON.parse(runPython(oracle, [folder, ...files]).replaceAll('NaN', 'null'));

it('frames records with the check sums of TFRecord', () => {
  // crc32c("123456789") is 0xe3069283, the check value of its catalogue.
  const record = Buffer.from(encodeRecord(new TextEncoder().encode('123456789')));
  const crc = 0xe3069283;
  expect(record.readUInt32LE(21)).toBe((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  expect(record.readBigUInt64LE(0)).toBe(9n);
  expect(record.toString('utf8', 12, 21)).toBe('123456789');
});

it.skipIf(pythonExecutable() === undefined)(
  "TensorBoard's reader finds curves and pictures, over a resumed run",
  () => {
    const first = openTensorboard(folder, 0);
    for (let step = 1; step <= 6; step++) first.scalars(step, { loss: 1 / step, 'rate/head': 1e-7 * step });
    first.scalars(6, { miou: Number.NaN });
    const data = Uint8Array.from({ length: 18 }, (_, i) => 14 * i);
    first.image(4, 'outputs/0', { width: 3, height: 2, data });
    first.close();
    // A record that a killed run has not written whole.
    appendFileSync(first.path, readFileSync(first.path).subarray(0, 20));
    const second = openTensorboard(folder, 4);
    for (let step = 5; step <= 7; step++) second.scalars(step, { loss: 10 + step });
    second.scalars(2 ** 40, { loss: 0.5 });
    second.close();
    const found = read([first.path, second.path]);
    const f32 = (value: number) => Math.fround(value);
    const curve = (tag: string) => found.scalars[tag].map(([step, value]: [number, string]) => [step, Number(value)]);
    expect(curve('loss')).toEqual([
      [1, 1],
      [2, 0.5],
      [3, f32(1 / 3)],
      [4, 0.25],
      [5, 15],
      [6, 16],
      [7, 17],
      [2 ** 40, 0.5],
    ]);
    expect(curve('rate/head').map(([, value]: number[]) => value)).toEqual(
      [1, 2, 3, 4].map((step) => f32(1e-7 * step)),
    );
    expect(found.images['outputs/0']).toEqual([
      { step: 4, width: 3, height: 2, mode: 'RGB', size: [3, 2], data: [...data] },
    ]);
    // The version, six steps, a score, a picture; the version, the start, four steps.
    expect(found.events).toEqual([9, 6]);
  },
);

it('writes another file each time', () => {
  const logs = [openTensorboard(folder, 0), openTensorboard(folder, 0)];
  for (const each of logs) each.close();
  expect(basename(logs[0].path)).toMatch(/^events\.out\.tfevents\.\d{10}\..+\.\d+\.\d+$/);
  expect(logs[0].path).not.toBe(logs[1].path);
});

it('says what is wrong', () => {
  const log = openTensorboard(folder, 0);
  expect(() => log.scalars(0.5, {})).toThrow(
    'tensorboard: a step is a whole number from 0; got 0.5; count the updates done',
  );
  expect(() => log.image(1, 'x', { width: 2, height: 2, data: new Uint8Array(16) })).toThrow(
    'tensorboard: an image has three bytes for each point; got 16 of "x", 2 x 2; leave out alpha',
  );
  log.close();
});
