import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-command-merge-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const path = (name: string) => join(folder, name);

function rass(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'merge', ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** A safetensors file of F32 tensors of one length. */
function putModel(name: string, tensors: Record<string, number>, length: number): void {
  const entries = Object.keys(tensors).map((key, i) => [
    key,
    { dtype: 'F32', shape: [length], data_offsets: [4 * length * i, 4 * length * (i + 1)] },
  ]);
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  const data = Object.values(tensors).map((value) => Buffer.from(new Float32Array(length).fill(value).buffer));
  writeFileSync(path(name), Buffer.concat([size, json, ...data]));
}

function putRecipe(name: string, lines: string): string {
  writeFileSync(path(name), lines);
  return path(name);
}

const LINEAR = `
merge_method: linear
models: [{model: a.safetensors}, {model: b.safetensors}]
parameters: {weight: 1}
`;

describe('rass merge', () => {
  beforeAll(() => {
    putModel('a.safetensors', { 'mid_block.x': 1, y: 2 }, 3);
    putModel('b.safetensors', { 'mid_block.x': 3, y: Number.POSITIVE_INFINITY }, 3);
    putModel('c.safetensors', { 'mid_block.x': 3, y: 4 }, 3);
  });

  it('shows what would be done', () => {
    const recipe = putRecipe('r.yaml', LINEAR);
    const { status, stdout, stderr } = rass(recipe, '--dry-run');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toBe(
      'r.yaml: 2 tensors; reads 48 B, writes 24 B, takes about 200.0 MB of memory\n\n' +
        'block      tensors  size  what is done\n' +
        'mid_block        1  12 B  linear weight 1 : 1, normalize true\n' +
        'y                1  12 B  linear weight 1 : 1, normalize true\n',
    );
    const plan = JSON.parse(rass(recipe, '--dry-run', '--json').stdout);
    expect(plan).toMatchObject({ tensors: 2, stages: 1, bytesRead: 48, bytesWritten: 24 });
    expect(plan.groups[0]).toEqual({
      block: 'mid_block',
      method: 'linear',
      parameters: { weight: [1, 1], normalize: true },
      tensors: 1,
      bytes: 12,
    });
    expect(plan.inputs).toEqual([
      { name: 'a.safetensors', path: path('a.safetensors') },
      { name: 'b.safetensors', path: path('b.safetensors') },
    ]);
  });

  it('merges into a file, and into shards', () => {
    const recipe = putRecipe('r.yaml', LINEAR.replace('b.safe', 'c.safe'));
    const { status, stdout, stderr } = rass(recipe, '--out', path('m.safetensors'));
    expect({ status, stderr }).toEqual({ status: 0, stderr: 'merge r.yaml\n' });
    expect(stdout).toMatch(/^merged 2 tensors, 0\.00 GB, in \d+\.\d s: .*m\.safetensors\n$/);
    const result = JSON.parse(rass(recipe, '--out', path('m'), '--max-shard', '16 B', '--json').stdout);
    expect(result).toMatchObject({ tensors: 2, bytes: 24, out: path('m') });
    expect(result.inputs[0]).toMatchObject({
      path: path('a.safetensors'),
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(readdirSync(path('m')).length).toBe(3);
  });

  it('fails with one message and status 1', () => {
    const recipe = putRecipe('r.yaml', LINEAR);
    expect(rass(recipe)).toEqual({
      status: 1,
      stdout: '',
      stderr: 'merge: --out says where the result goes; got none; give a folder or a .safetensors file, or --dry-run\n',
    });
    const { status, stderr } = rass(recipe, '--out', path('n.safetensors'));
    expect(status).toBe(1);
    expect(stderr).toContain(
      'merge: b.safetensors: weights are finite; got Infinity at 0 of "y"; mend the file, or allow the tensor by name\n',
    );
    expect(rass(recipe, '--out', path('n.safetensors'), '--allow-non-finite', '^y$').status).toBe(0);
    expect(rass(putRecipe('w.yaml', LINEAR.replace('linear', 'liner')), '--dry-run').stderr).toMatch(
      /^w\.yaml: merge_method is one of linear, .*; got "liner"; closest: linear\n$/,
    );
  });

  it('refuses sizes and patterns that are none', () => {
    const recipe = putRecipe('r.yaml', LINEAR);
    expect(rass(recipe, '--max-shard', 'big').stderr).toContain(
      'A size is a number with B, KB, MB, GB or TB, such as 5GB.',
    );
    expect(rass(recipe, '--max-shard', '0GB').stderr).toContain('A size is a number');
    expect(rass(recipe, '--allow-non-finite', '(').stderr).toContain('Invalid regular expression');
  });

  it.skipIf(process.platform === 'win32')('stops on Ctrl-C and leaves what was there', async () => {
    const tensors = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`t${i}`, i]));
    for (const name of ['base', 'large']) putModel(`${name}.safetensors`, tensors, 1 << 20);
    // A method that takes its time.
    const recipe = putRecipe(
      'slow.yaml',
      'merge_method: dare_ties\nbase_model: base.safetensors\nmodels: [{model: large.safetensors}]\nparameters: {weight: 1, density: 0.5}',
    );
    const before = readdirSync(folder).sort();
    const child = spawn(process.execPath, [MAIN, 'merge', recipe, '--out', path('stopped.safetensors')]);
    let stderr = '';
    child.stderr.on('data', (text) => {
      if (stderr === '') child.kill('SIGINT');
      stderr += text;
    });
    const [code] = await once(child, 'close');
    expect({ code, stderr }).toEqual({
      code: 130,
      stderr: `merge slow.yaml\nmerge: stopped; ${path('stopped.safetensors')} is as it was\n`,
    });
    expect(readdirSync(folder).sort()).toEqual(before);
  });
});
