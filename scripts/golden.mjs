// `pnpm golden [package ...]`: makes the fixtures of test-fixtures/golden again, with the pinned Python packages.
// Without a Python in RASS_PYTHON it makes an environment under .cache/python.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './toolchain.mjs';

const make = join(root, 'test-fixtures', 'make');

function run(program, args) {
  const result = spawnSync(program, args, { stdio: 'inherit', cwd: make });
  if (result.error) throw result.error;
  if (result.status !== 0) process.exit(result.status ?? 1);
}

function ensurePython() {
  if (process.env.RASS_PYTHON) return process.env.RASS_PYTHON;
  const folder = join(root, '.cache', 'python');
  const python = join(folder, 'bin', 'python');
  if (!existsSync(python)) {
    run('python3', ['-m', 'venv', folder]);
    run(python, ['-m', 'pip', 'install', '--quiet', '-r', join(make, 'requirements.txt')]);
  }
  return python;
}

const scripts = readdirSync(make).filter(
  (file) => file.endsWith('.py') && readFileSync(join(make, file), 'utf8').includes('__main__'),
);
const setupOnly = process.argv.includes('--setup-only');
const names = process.argv.slice(2).filter((argument) => argument !== '--setup-only');
const chosen =
  names.length === 0
    ? scripts
    : scripts.filter((file) => names.some((name) => file.replaceAll('_', '-').startsWith(name)));
if (chosen.length === 0) {
  console.error(`golden: no script for ${names.join(', ')}; there are ${scripts.join(', ')}`);
  process.exit(2);
}
const python = ensurePython();
if (!setupOnly) for (const script of chosen.sort()) run(python, [script]);
