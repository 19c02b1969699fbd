import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { BackendError } from '../errors.ts';
import { addonSources, type BindingPackage, COMPILE_FLAGS, packageFolder } from './sources.ts';

/** What a finished command left behind. */
export interface CommandResult {
  status: number | null;
  output: string;
}

/** Runs a program to its end; `status` null means that it could not be started or was killed. */
export function runCommand(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', (error) => resolve({ status: null, output: error.message }));
    child.on('close', (status) => resolve({ status, output: Buffer.concat(chunks).toString('utf8') }));
  });
}

/** Finds a C++ compiler: $CXX, g++, clang++ or c++. @throws BackendError naming what to install */
export async function findCompiler(): Promise<string> {
  const named = process.env['CXX'];
  const candidates = named ? [named] : ['g++', 'clang++', 'c++'];
  for (const candidate of candidates) {
    const { status } = await runCommand(candidate, ['--version']);
    if (status === 0) return candidate;
  }
  throw new BackendError(
    'install-failed',
    `backend install: building the addon takes a C++17 compiler; none of ${candidates.join(', ')} runs; ` +
      'install g++ (Debian and Ubuntu: `apt-get install g++`) or set CXX',
  );
}

/** A folder with node_api.h: this Node's own headers, the system's, or the npm package node-api-headers. */
function nodeHeaders(): string {
  const own = join(dirname(dirname(process.execPath)), 'include/node');
  const packaged = packageFolder('node-api-headers');
  const candidates = [own, '/usr/include/node', ...(packaged ? [join(packaged, 'include')] : [])];
  const found = candidates.find((folder) => existsSync(join(folder, 'node_api.h')));
  if (found !== undefined) return found;
  throw new BackendError(
    'install-failed',
    `backend install: building the addon takes node_api.h; it is in none of ${candidates.join(', ')}; run \`npm install node-api-headers\``,
  );
}

async function runCompiler(compiler: string, args: string[], what: string): Promise<void> {
  const { status, output } = await runCommand(compiler, args);
  if (status === 0) return;
  const firstErrors = output.split('\n').filter((line) => /error|fatal|cannot find|undefined/i.test(line));
  throw new BackendError(
    'install-failed',
    `backend install: ${what} must compile; ${compiler} ended with status ${status}:\n` +
      (firstErrors.length > 0 ? firstErrors : output.split('\n')).slice(0, 12).join('\n'),
  );
}

/** Compiles the addon against a library folder (a wheel's `tensorflow/`) and puts it at `target`, atomically.
 * The run path is relative where the library lies beside the addon, so that the cache can be moved.
 * @throws BackendError with the compiler's first errors */
export async function compileAddon(
  binding: BindingPackage,
  libraryFolder: string,
  target: string,
  onFile: (done: number, total: number, file: string) => void = () => {},
): Promise<void> {
  const compiler = await findCompiler();
  const work = mkdtempSync(join(dirname(target), '.build-'));
  try {
    const sources = addonSources(binding);
    const includes = [
      `-I${nodeHeaders()}`,
      `-I${join(libraryFolder, 'include')}`,
      `-I${join(binding.folder, 'binding')}`,
    ];
    // As in most builds; they come last, so that they win.
    const ownFlags = process.env['CXXFLAGS']?.split(/\s+/).filter(Boolean) ?? [];
    const objects = sources.map((source) => join(work, `${basename(source, '.cc')}.o`));
    const waiting = sources.map((source, i) => ({ source, object: objects[i]! }));
    let done = 0;
    const compileNext = async (): Promise<void> => {
      for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
        await runCompiler(
          compiler,
          [...COMPILE_FLAGS, ...ownFlags, ...includes, '-c', job.source, '-o', job.object],
          job.source,
        );
        onFile(++done, sources.length + 1, basename(job.source));
      }
    };
    await Promise.all(Array.from({ length: Math.min(availableParallelism(), sources.length) }, compileNext));
    const beside = dirname(libraryFolder) === dirname(target);
    const runPath = beside ? `$ORIGIN/${basename(libraryFolder)}` : libraryFolder;
    const built = join(work, 'addon.node');
    const libraries = ['-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2', '-pthread'];
    await runCompiler(
      compiler,
      ['-shared', '-s', ...objects, `-L${libraryFolder}`, ...libraries, `-Wl,-rpath,${runPath}`, '-o', built],
      'the addon',
    );
    onFile(sources.length + 1, sources.length + 1, basename(target));
    renameSync(built, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
