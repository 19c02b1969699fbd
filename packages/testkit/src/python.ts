import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const rootFolder = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** The Python that has the packages of test-fixtures/make/requirements.txt: RASS_PYTHON, else the one that
 * `pnpm golden` sets up under .cache/python; undefined where there is none. */
export function pythonExecutable(): string | undefined {
  const own = join(rootFolder, '.cache/python/bin/python');
  return process.env.RASS_PYTHON || (existsSync(own) ? own : undefined);
}

/** Runs a Python script and returns what it printed. @throws with its error output when it fails */
export function runPython(script: string, args: readonly string[] = [], input?: string): string {
  const python = pythonExecutable();
  if (python === undefined) throw new Error('python: not found; set RASS_PYTHON or run `pnpm golden`');
  const result = spawnSync(python, [script, ...args], { encoding: 'utf8', input, maxBuffer: 1 << 28 });
  if (result.error) throw result.error;
  if (result.status !== 0) throw new Error(`python: ${script} failed with ${result.status}:\n${result.stderr}`);
  return result.stdout;
}
