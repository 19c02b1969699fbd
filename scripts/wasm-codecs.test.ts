import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { compileCodecs } from './wasm-codecs.mjs';

const python = process.env['RASS_ZIG_PYTHON'];
const hasZig = python !== undefined && spawnSync(python, ['-m', 'ziglang', 'version']).status === 0;

// Skipped where there is no compiler (RASS_ZIG_PYTHON: a Python with ziglang).
it.skipIf(!hasZig)(
  "the decoders' modules in the sources are what is compiled of packages/images/wasm",
  async () => {
    const files = await compileCodecs(process.env['RASS_CODEC_ARCHIVES']);
    expect(files.length).toBeGreaterThan(4);
    for (const { path, source } of files) expect(readFileSync(path, 'utf8') === source, path).toBe(true);
  },
  10 * 60 * 1000,
);
