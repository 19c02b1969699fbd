import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Stages } from '@rass/pipeline';
import { readStages } from '@rass/pipeline/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { linkFolder, writeStages, writeTexts } from './folder.ts';

const RESTORATION = { file: 'scr.safetensors', rank: 8, alpha: 16, latentUpdate: 'residual', timestep: 1 } as const;
const ONE: Stages = { format: 1, restoration: RESTORATION };
const OTHER: Stages = { format: 1, restoration: { ...RESTORATION, timestep: 200 } };

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'rass-folder-'));
});
afterEach(() => rm(root, { recursive: true }));

describe('linkFolder', () => {
  it('gives a folder that can be written without a change of the one that it came from', async () => {
    const [from, to] = [join(root, 'from'), join(root, 'to')];
    await writeTexts(from, 'scheduler', { 'scheduler_config.json': 'one' });
    await writeStages(from, ONE);
    const index = await readFile(join(from, 'model_index.json'), 'utf8');
    await linkFolder(from, to);
    await writeStages(to, OTHER);
    await writeTexts(to, 'scheduler', { 'scheduler_config.json': 'other' });
    await writeTexts(to, 'tokenizer', { 'vocab.json': '{}' });
    expect(await readStages(from)).toEqual(ONE);
    expect(await readStages(to)).toEqual(OTHER);
    expect(await readFile(join(from, 'scheduler', 'scheduler_config.json'), 'utf8')).toBe('one');
    expect(await readFile(join(from, 'model_index.json'), 'utf8')).toBe(index);
    expect(await readFile(join(to, 'model_index.json'), 'utf8')).not.toBe(index);
  });

  it('leaves out what was named, what was never finished, and what an export says of the folder', async () => {
    const [from, to] = [join(root, 'from'), join(root, 'to')];
    await writeStages(from, ONE);
    await writeTexts(from, 'scheduler', { 'scheduler_config.json': '{}', 'half.tmp': '' });
    await writeFile(join(from, 'files.json'), '{}');
    await linkFolder(from, to, { except: ['rass.json'] });
    expect((await readdir(to, { recursive: true })).sort()).toEqual([
      'model_index.json',
      'scheduler',
      join('scheduler', 'scheduler_config.json'),
    ]);
  });
});
