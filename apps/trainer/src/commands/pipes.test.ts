import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpoint } from '@rass/weights/node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { rass } from './rass.test-support.ts';

const hasPipes = process.platform !== 'win32';
let folder: string;
const pipe = (name: string): string => {
  const path = join(folder, name);
  spawnSync('mkfifo', [path]);
  return path;
};
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-pipes-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.skipIf(!hasPipes)('no command waits for a pipe in place of a file', async () => {
  const weights = pipe('a.safetensors');
  await expect(openCheckpoint(weights)).rejects.toThrow(
    `${weights}: a checkpoint is a file; got something else, such as a folder or a pipe`,
  );
  for (const args of [
    ['inspect', weights],
    ['merge', pipe('recipe.yaml'), '--dry-run'],
    ['degrade', folder, '--out', join(folder, 'out'), '--degradation', pipe('options.yml')],
    ['dataset', 'check', pipe('list.txt')],
    ['train', 'scr', pipe('scr.yaml')],
  ]) {
    const { status, stderr } = rass(...args);
    expect([status, stderr.length > 0], args.join(' ')).toEqual([1, true]);
  }
});
