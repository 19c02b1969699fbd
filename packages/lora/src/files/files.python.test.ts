import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { activateBackend, expectClose, loadGolden, pythonExecutable, runPython } from '@rass/testkit';
import { describe, it } from 'vitest';
import { baseUnet, runUnet } from '../golden.test-support.ts';
import { addAdapterState } from '../index.ts';
import { openAdapter, saveAdapter } from '../node.ts';
import { files, paths } from './files.test-support.ts';
import type { WriteAdapterOptions } from './write-adapter.ts';

const oracle = join(import.meta.dirname, '../../../../test-fixtures/oracle/lora.py');

// diffusers leaves the dora_scale of kohya's files out, so that DoRA is not among those.
const WRITTEN: readonly [adapter: string, options: WriteAdapterOptions][] = [
  ['plain', { format: 'peft' }],
  ['rslora', { format: 'peft' }],
  ['dora', { format: 'peft' }],
  ['whole', { format: 'peft' }],
  ['plain', { format: 'diffusers' }],
  ['rslora', { format: 'diffusers' }],
  ['plain', { format: 'kohya' }],
  ['rslora', { format: 'kohya' }],
  ['dora', { format: 'diffusers' }],
  ['plain', { format: 'kohya', names: 'original', paths }],
  ['bias-all', { format: 'peft' }],
  ['bias-lora', { format: 'peft' }],
];

describe.skipIf(pythonExecutable() === undefined)('adapters written here, in Python', () => {
  it('load in peft and diffusers, with equal output', async () => {
    await activateBackend('cpu');
    const base = await baseUnet();
    const folder = await mkdtemp(join(tmpdir(), 'rass-lora-'));
    const input = loadGolden('lora/plain');
    const ours: Float32Array[] = [];
    const listed = [];
    for (const [i, [name, options]] of WRITTEN.entries()) {
      const { adapters } = await openAdapter(join(files, `peft-${name}`), { paths });
      const path = join(folder, options.format === 'peft' ? `${i}` : `${i}.safetensors`);
      await saveAdapter(path, adapters.default, options);
      ours.push((await runUnet(addAdapterState(base, adapters.default), input).data()) as Float32Array);
      listed.push({ format: options.format, path });
    }
    const theirs: number[][] = JSON.parse(
      runPython(oracle, [JSON.stringify(listed)])
        .split('\n')
        .filter((line) => line.startsWith('[['))[0],
    );
    for (const [i, [name, { format }]] of WRITTEN.entries()) {
      await expectClose(ours[i], theirs[i], { label: `${name} as ${format}` });
    }
    await rm(folder, { recursive: true });
  }, 300_000);
});
