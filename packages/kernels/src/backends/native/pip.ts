import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BackendError } from '../errors.ts';
import { runCommand } from './compile.ts';

/** How often the growing download folder is measured. */
const POLL_MS = 300;

/** Finds a Python that has pip, the package index's ordinary client; undefined where there is none. */
export async function findPip(): Promise<string[] | undefined> {
  const named = process.env['PYTHON'];
  const candidates = named ? [named] : ['python3', 'python'];
  for (const candidate of candidates) {
    const { status } = await runCommand(candidate, ['-m', 'pip', '--version']);
    if (status === 0) return [candidate, '-m', 'pip'];
  }
  return undefined;
}

function folderSize(folder: string): number {
  let total = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    try {
      if (entry.isFile()) total += statSync(join(entry.parentPath, entry.name)).size;
    } catch {
      // pip moved it meanwhile.
    }
  }
  return total;
}

/** Lets pip download wheels into `folder`, by the user's own pip settings; returns their paths.
 * pip checks each file against its index's hash. @throws BackendError with pip's last words */
export async function pipDownload(
  pip: readonly string[],
  requirements: readonly string[],
  folder: string,
  options: { indexUrl?: string; onBytes?: (bytes: number) => void } = {},
): Promise<string[]> {
  const temporary = join(folder, 'pip');
  mkdirSync(temporary, { recursive: true });
  const before = new Set(readdirSync(folder));
  const [program, ...rest] = pip as [string, ...string[]];
  const args = [...rest, 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--python-version', '3.11'];
  if (options.indexUrl) args.push('--index-url', options.indexUrl);
  const timer = setInterval(() => options.onBytes?.(folderSize(folder)), POLL_MS);
  try {
    // The temporary folder is ours so that the cache's disk is the one that fills, and so that it can be measured.
    const env = { ...process.env, TMPDIR: temporary, PIP_DISABLE_PIP_VERSION_CHECK: '1' };
    const { status, output } = await runCommand(program, [...args, '--dest', folder, ...requirements], env);
    if (status !== 0) {
      throw new BackendError(
        'install-failed',
        `backend install: pip must find ${requirements.join(', ')}; it ended with status ${status}: ` +
          `${output.trim().split('\n').slice(-3).join(' ')}; check the network and pip's settings, pass --wheel with a file, or try --downloader direct`,
      );
    }
  } finally {
    clearInterval(timer);
  }
  const added = readdirSync(folder).filter((name) => name.endsWith('.whl') && !before.has(name));
  return added.map((name) => join(folder, name));
}
