import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openMetricsLog } from './metrics-log.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-metrics-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = () => join(folder, 'logs', 'metrics.jsonl');
const lines = () =>
  readFileSync(path(), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((each) => JSON.parse(each));

function write(steps: readonly number[], resumedStep = 0): readonly string[] {
  const log = openMetricsLog(path(), resumedStep);
  for (const step of steps) log.append(step, { loss: step / 10 });
  log.close();
  return log.notes;
}

it('has a line for each record', () => {
  const log = openMetricsLog(path(), 0);
  log.append(1, { loss: 0.1, split: 'train', step: 99, ok: true, none: null });
  log.append(2, { loss: Number.NaN, most: Number.POSITIVE_INFINITY });
  log.close();
  expect(readFileSync(path(), 'utf8')).toBe(
    '{"step":1,"loss":0.1,"split":"train","ok":true,"none":null}\n{"step":2,"loss":"NaN","most":"Infinity"}\n',
  );
});

it('goes on where a run is resumed, without the steps that come again', () => {
  expect(write([1, 2, 3, 4, 5])).toEqual([]);
  const notes = write([4, 5, 6], 3);
  expect(notes).toEqual(['dropped 2 lines after step 3, from which the run goes on']);
  expect(lines().map(({ step, loss }) => [step, loss])).toEqual([
    [1, 0.1],
    [2, 0.2],
    [3, 0.3],
    [3, undefined],
    [4, 0.4],
    [5, 0.5],
    [6, 0.6],
  ]);
  expect(lines()[3]).toEqual({ step: 3, note: notes[0] });
  expect(write([], 6), 'nothing to repair').toEqual([]);
  expect(readdirSync(join(folder, 'logs'))).toEqual(['metrics.jsonl']);
});

it.each([
  ['half a record', '{"step":4,"lo', 'dropped 1 line at the end that a killed run had not written whole'],
  ['zeros of a power cut', '\0\0\0\0\n\0\0', 'dropped 2 lines at the end that a killed run had not written whole'],
  ['a number', '4', 'dropped 1 line at the end that a killed run had not written whole'],
])('loses a torn end: %s', (_, end, note) => {
  write([1, 2]);
  writeFileSync(path(), readFileSync(path(), 'utf8') + end);
  expect(write([3], 2)).toEqual([note]);
  expect(lines().map(({ step }) => step)).toEqual([1, 2, 2, 3]);
});

it('keeps a last line that lacks its end of line alone', () => {
  write([1]);
  writeFileSync(path(), readFileSync(path(), 'utf8').trimEnd());
  expect(write([2], 1)).toEqual([]);
  expect(lines().map(({ step }) => step)).toEqual([1, 2]);
});

it('refuses what is no such file', () => {
  write([1]);
  writeFileSync(path(), `epoch,loss\n${readFileSync(path(), 'utf8')}`);
  expect(() => openMetricsLog(path(), 0)).toThrow(
    `metrics: ${path()}: each line is a JSON object with a step; got another thing in line 1; move the file away`,
  );
  rmSync(path());
  const log = openMetricsLog(path(), 0);
  expect(() => log.append(-1, {})).toThrow('metrics: a step is a whole number from 0; got -1; count the updates done');
  log.close();
});

it('holds what was appended before a kill', async () => {
  const program = `
    import { openMetricsLog } from ${JSON.stringify(new URL('./metrics-log.ts', import.meta.url).href)};
    const log = openMetricsLog(process.argv[1], 0);
    for (let step = 1; ; step++) {
      log.append(step, { loss: 1 / step });
      console.log(step);
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, path()]);
  const exited = once(child, 'exit');
  let said = '';
  child.stdout.on('data', (data) => {
    said += data;
  });
  await once(child.stdout, 'data');
  await sleep(20);
  child.kill('SIGKILL');
  await exited;
  const told = Number(said.split('\n').at(-2));
  openMetricsLog(path(), Number.MAX_SAFE_INTEGER).close();
  const steps = lines().flatMap(({ step, loss }) => (loss === undefined ? [] : [step]));
  expect(steps).toEqual(Array.from({ length: steps.length }, (_, i) => i + 1));
  expect(steps.length).toBeGreaterThanOrEqual(told);
});
