// `pnpm golden [package ...]`: makes the fixtures of test-fixtures/golden again, with the pinned Python packages.
// Without a Python in RASS_PYTHON it makes an environment under .cache/python. A script with the line
// `# requirements: requirements-merge.txt` has one of its own, .cache/python-merge, or the Python in RASS_PYTHON_MERGE.
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

/** The environment that a script asks for: empty for the common one, else a name such as `merge`. */
function environmentOf(script) {
  const text = readFileSync(join(make, script), 'utf8');
  return /^# requirements: requirements-(\w+)\.txt$/m.exec(text)?.[1] ?? '';
}

/** The Python of an environment, which is made where it is missing. torch comes first: pip would find another build for a package
 * that only asks for some version. */
function ensurePython(environment) {
  const suffix = environment === '' ? '' : `-${environment}`;
  const given = process.env[`RASS_PYTHON${suffix.replace('-', '_').toUpperCase()}`];
  if (given) return given;
  const folder = join(root, '.cache', `python${suffix}`);
  const python = join(folder, 'bin', 'python');
  if (!existsSync(python)) {
    const requirements = join(make, `requirements${suffix}.txt`);
    const torch = /^torch==.*$/m.exec(readFileSync(requirements, 'utf8'))?.[0];
    run('python3', ['-m', 'venv', folder]);
    if (torch !== undefined) run(python, ['-m', 'pip', 'install', '--quiet', torch]);
    run(python, ['-m', 'pip', 'install', '--quiet', '-r', requirements]);
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
// Setting up alone is for tests, which need the common environment; another is asked for by its package's name.
const environments = setupOnly && names.length === 0 ? [''] : [...new Set(chosen.map(environmentOf))];
const pythons = new Map(environments.map((environment) => [environment, ensurePython(environment)]));
if (!setupOnly) for (const script of chosen.sort()) run(pythons.get(environmentOf(script)), [script]);
