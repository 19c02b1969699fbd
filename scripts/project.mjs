// Every script of package.json runs through here: `node scripts/project.mjs <task> [arguments]`.
// It sets up what is missing, then runs the task with the project's own Node and packages.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensureNode, ensurePackages, root, toolEnvironment } from './toolchain.mjs';

const rassMain = join(root, 'apps', 'trainer', 'src', 'main.ts');
const sizeMain = join(root, 'apps', 'runtime', 'size', 'main.ts');

/** The small model that is part of the project, and photographs that it was not trained on. */
const demoInputs = [
  ['--model', join(root, 'models', 'rass-tiny')],
  ['--degradation', join(root, 'apps', 'trainer', 'recipes', 'tiny', 'degradation.yml')],
  ['--photographs', ...['cat', 'coffee', 'rocket'].map((name) => join(root, 'test-fixtures', 'images', `${name}.jpg`))],
].flat();

/** What each task runs, in order; `$args` stands for the caller's arguments. The first failure ends the task. */
const tasks = {
  setup: [['node', rassMain, 'backend', 'install', '--if-missing', '--optional']],
  demo: [
    ['node', rassMain, 'backend', 'install', '--if-missing', '--optional'],
    ['node', rassMain, 'weights', 'install', 'lpips', '--if-missing', '--optional'],
    ['node', rassMain, 'demo', ...demoInputs, '$args'],
  ],
  test: [
    ['node', rassMain, 'backend', 'install', '--if-missing', '--optional'],
    ['vitest', 'run', '$args'],
  ],
  check: [
    ['tsc', '--noEmit', '-p', 'tsconfig.json'],
    ['biome', 'check', '.'],
    ['depcruise', '--config', '.dependency-cruiser.cjs', 'packages', 'apps'],
    ['knip'],
    ['node', sizeMain],
    ['node', join(root, 'scripts', 'check-packages.mjs')],
  ],
  format: [['biome', 'check', '--write', '.']],
  build: [['turbo', 'run', 'build', '$args']],
  size: [['node', sizeMain]],
  bench: [['node', join(root, 'bench', 'src', 'main.ts'), '$args']],
  mutants: [['node', join(root, 'scripts', 'mutants.mjs'), '$args']],
  golden: [['node', join(root, 'scripts', 'golden.mjs'), '$args']],
  example: [['node', join(root, 'scripts', 'example.mjs'), '$args']],
  rass: [['node', rassMain, '$args']],
};

function main([task, ...args]) {
  const commands = tasks[task];
  if (commands === undefined) {
    console.error(`project: unknown task "${task ?? ''}"; the tasks are ${Object.keys(tasks).join(', ')}`);
    return 2;
  }
  const node = ensureNode();
  ensurePackages(node);
  const env = toolEnvironment(node);
  // `rass` works on the files of the folder it was called from; everything else works on the repository.
  const cwd = task === 'rass' ? (process.env.INIT_CWD ?? process.cwd()) : root;
  for (const [program, ...parts] of commands) {
    const expanded = parts.flatMap((part) => (part === '$args' ? args : [part]));
    const run = program === 'node' ? node : program;
    const result = spawnSync(run, expanded, { cwd, env, stdio: 'inherit' });
    if (result.error) throw result.error;
    if (result.status !== 0) return result.status ?? 1;
  }
  return 0;
}

process.exitCode = main(process.argv.slice(2));
