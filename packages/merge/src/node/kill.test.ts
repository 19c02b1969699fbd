import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '@rass/testkit';
import { readFloat32 } from '@rass/weights';
import { createSafetensors, openCheckpoint } from '@rass/weights/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sweepLeftovers } from './leftovers.ts';
import { mergeFiles } from './merge-files.ts';

const KILLS = 12;
/** A merge takes some tens of milliseconds, so that kills meet every part of it. */
const LATEST_MS = 150;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-merge-kill-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = (...steps: string[]) => join(folder, ...steps);

/** A model of so many tensors, all of one value. */
async function putModel(name: string, value: number, tensors: number, size: number): Promise<void> {
  const specs = Object.fromEntries(
    Array.from({ length: tensors }, (_, i) => [`t${i}`, { dtype: 'F32', shape: [size] } as const]),
  );
  const writer = await createSafetensors(path(name), specs);
  for (const key of writer.names) await writer.write(key, new Float32Array(size).fill(value));
  await writer.finish();
}

/** Recipes whose results hold nothing but 2, and nothing but 4. */
async function putRecipes(tensors: number, size: number): Promise<void> {
  for (const value of [1, 3, 5]) await putModel(`${value}.safetensors`, value, tensors, size);
  const recipe = (a: number, b: number) =>
    `merge_method: linear\nmodels: [{model: ${a}.safetensors}, {model: ${b}.safetensors}]\nparameters: {weight: 1}\n`;
  writeFileSync(path('2.yaml'), recipe(1, 3));
  writeFileSync(path('4.yaml'), recipe(3, 5));
}

const MODULE = JSON.stringify(new URL('./merge-files.ts', import.meta.url).href);

/** A program that merges the one and the other in turns, for ever. */
const FOR_EVER = `
  import { mergeFiles } from ${MODULE};
  const [folder, out, maxShardBytes] = process.argv.slice(1);
  const options = { out, ...(maxShardBytes && { maxShardBytes: Number(maxShardBytes) }) };
  console.log('ready');
  for (;;) for (const recipe of ['4.yaml', '2.yaml']) await mergeFiles(folder + '/' + recipe, options);`;

const ONCE = `
  import { mergeFiles } from ${MODULE};
  await mergeFiles(process.argv[1], { out: process.argv[2] });
  console.log(process.resourceUsage().maxRSS);`;

const program = (source: string, ...args: string[]): string[] => ['--input-type=module', '-e', source, ...args];

/** That a result is all of one merge: every tensor and the recipe in the file. */
async function expectWhole(file: string, tensors: number): Promise<void> {
  const checkpoint = await openCheckpoint(file);
  const { key, recipe } = { key: checkpoint.keys()[0], recipe: checkpoint.metadata['rass.recipe'] };
  const [value] = await readFloat32(checkpoint, key);
  expect([2, 4]).toContain(value);
  // An index has no texts of its own.
  if (recipe !== undefined) expect(recipe).toBe(readFileSync(path(`${value}.yaml`), 'utf8'));
  expect(checkpoint.keys().length).toBe(tensors);
  for (const each of checkpoint.keys()) {
    const values = await readFloat32(checkpoint, each);
    expect(
      values.every((other) => other === value),
      each,
    ).toBe(true);
  }
  await checkpoint.close();
}

describe('a process that is killed at any moment', () => {
  it.each([
    ['a file', 'm.safetensors', [] as string[], 1],
    ['a folder of shards', 'm', ['900000'], 2],
  ])('leaves the old result or the new one: %s', async (_, out, more, seed) => {
    await putRecipes(6, 100_000);
    const random = seededRandom(seed);
    await mergeFiles(path('2.yaml'), {
      out: path(out),
      ...(more[0] !== undefined && { maxShardBytes: Number(more[0]) }),
    });
    const file = more.length > 0 ? path(out, 'model.safetensors.index.json') : path(out);
    const { length } = readdirSync(folder);
    for (let kill = 0; kill < KILLS; kill++) {
      const child = spawn(process.execPath, program(FOR_EVER, folder, path(out), ...more));
      const exited = once(child, 'exit');
      await once(child.stdout, 'data');
      await sleep(random() * LATEST_MS);
      child.kill('SIGKILL');
      expect(await exited).toEqual([null, 'SIGKILL']);
      // Between two renames of folders there is none for a moment: the next merge brings the old one back.
      if (!existsSync(path(out))) await sweepLeftovers(path(out));
      await expectWhole(file, 6);
    }
    const long = new Date(Date.now() - 120_000);
    const left = readdirSync(folder).filter((each) => each.startsWith('.'));
    expect(left.length, 'merges that were met under way').toBeGreaterThan(0);
    for (const name of left) {
      for (const inner of more.length > 0 ? readdirSync(path(name)) : []) utimesSync(path(name, inner), long, long);
      utimesSync(path(name), long, long);
    }
    await sweepLeftovers(path(out));
    expect(readdirSync(folder).length).toBe(length);
    await expectWhole(file, 6);
  });
});

// Stands for a full disk: no file may grow beyond it, and the system refuses the write.
const LIMITED = 'trap "" XFSZ; ulimit -f 500; exec "$@"';

it.skipIf(process.platform === 'win32').each(['m.safetensors', 'm'])(
  'a write that the system refuses leaves %s as it was',
  async (out) => {
    await putRecipes(6, 100_000);
    await mergeFiles(path('2.yaml'), { out: path(out) });
    const before = readdirSync(folder).sort();
    const args = ['-c', LIMITED, 'bash', process.execPath, ...program(ONCE, path('4.yaml'), path(out))];
    const { status, stderr } = spawnSync('bash', args, { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toContain('EFBIG: file too large, write');
    expect(readdirSync(folder).sort()).toEqual(before);
    const file = out === 'm' ? path(out, 'model.safetensors') : path(out);
    await expectWhole(file, 6);
    const checkpoint = await openCheckpoint(file);
    expect(await readFloat32(checkpoint, 't0')).toEqual(new Float32Array(100_000).fill(2));
    await checkpoint.close();
  },
);

it('memory holds slices, not models', async () => {
  const megabytes = (recipe: string, out: string): number => {
    const { stdout, stderr } = spawnSync(process.execPath, program(ONCE, path(recipe), path(out)), {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    return Number(stdout) / 1024;
  };
  await putRecipes(2, 10);
  const least = megabytes('2.yaml', 'small.safetensors');
  // Three of 256 MiB: one alone would go beyond the limit.
  await putRecipes(8, 8 << 20);
  const most = megabytes('4.yaml', 'large.safetensors');
  expect(most - least).toBeLessThan(200);
});
