import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '@rass/testkit';
import { readFloat32 } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openCheckpoints } from './checkpoints.ts';
import { latestCheckpoint, listCheckpoints } from './scan.ts';

const KILLS = 20;
/** A save takes some milliseconds, so that kills meet every part of it. */
const LATEST_MS = 120;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-training-kill-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A run that goes on from where the last one was killed, and tells each step that it has saved. */
const FOR_EVER = `
  import { selectBackend } from '@rass/kernels';
  import { fill, tidy, variable, zeros } from '@tensorflow/tfjs-core';
  import { openCheckpoints } from ${JSON.stringify(new URL('./checkpoints.ts', import.meta.url).href)};
  await selectBackend('cpu');
  const part = () => Object.fromEntries(['a', 'b', 'c'].map((key) => [key, variable(zeros([50, 400]))]));
  const parts = { parameters: part(), average: part() };
  const retention = { keepLast: 2, keepBest: [{ metric: 'score', mode: 'max' }] };
  const checkpoints = await openCheckpoints(process.argv[1], retention);
  const recipe = { model: 'tiny' };
  let step = (await checkpoints.resume(parts, { recipe }))?.step ?? 0;
  console.log('ready');
  for (;;) {
    step += 1;
    for (const each of Object.values(parts)) for (const x of Object.values(each)) tidy(() => x.assign(fill([50, 400], step)));
    await checkpoints.save({ step, parts, recipe, metrics: { score: -Math.abs(step - 10) } });
    console.log(step);
  }`;

/** That every number of a checkpoint is its step. */
async function expectWhole(path: string, step: number): Promise<void> {
  for (const part of ['parameters', 'average']) {
    const file = await openCheckpoint(join(path, `${part}.safetensors`));
    for (const key of file.keys()) expect(new Set(await readFloat32(file, key)), key).toEqual(new Set([step]));
    await file.close();
  }
}

it('a run that is killed at any moment, again and again, goes on from its last checkpoint', async () => {
  const cwd = dirname(fileURLToPath(import.meta.url));
  const random = seededRandom(7);
  let last = 0;
  let leftovers = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', FOR_EVER, folder], { cwd });
    const exited = once(child, 'exit');
    let said = '';
    child.stdout.on('data', (data) => {
      said += data;
    });
    let problems = '';
    child.stderr.on('data', (data) => {
      problems += data;
    });
    // Every other run is left until it has saved, so that also a slow machine gets on.
    const awaited = kill % 2 === 0 ? 'ready\n' : /\d\n/;
    while (child.exitCode === null && said.match(awaited) === null)
      await Promise.race([once(child.stdout, 'data'), exited]);
    await sleep(random() * LATEST_MS);
    child.kill('SIGKILL');
    expect(await exited, problems).toEqual([null, 'SIGKILL']);
    const told = Math.max(last, ...said.split('\n').slice(1, -1).map(Number));
    const { latest, broken } = await latestCheckpoint(folder);
    expect(broken).toEqual([]);
    expect(latest?.step ?? 0).toBeGreaterThanOrEqual(told);
    last = latest?.step ?? 0;
    for (const { path, step } of (await listCheckpoints(folder)).saved) await expectWhole(path, step);
    leftovers += readdirSync(folder).filter((name) => name.startsWith('.')).length;
  }
  expect(last, 'the runs have got on').toBeGreaterThanOrEqual(KILLS / 2);
  expect(leftovers, 'saves that were met under way').toBeGreaterThan(0);
  const checkpoints = await openCheckpoints(folder);
  await checkpoints.close();
  const names = readdirSync(folder).sort();
  expect(names.filter((name) => !name.startsWith('step-'))).toEqual([]);
  // The best stays beside the newest two, or three where a removal was met.
  expect(names[0]).toBe('step-00000010');
  expect(names.length).toBeLessThanOrEqual(4);
});
