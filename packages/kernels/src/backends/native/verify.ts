import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BackendError } from '../errors.ts';
import { runCommand } from './compile.ts';

/** What the addon said of itself in a process of its own. */
export interface Verified {
  version: string;
  device: 'cpu' | 'gpu';
}

/** [1 2; 3 4] [5 6; 7 8], then the sum over a 3x3 image of all 2x2 windows of ones. */
const EXPECTED = [19, 22, 43, 50, 80];

/** Loads an addon in a child process and runs a product and a convolution on it.
 * @throws BackendError load-failed with the loader's line, or install-failed on wrong numbers */
export async function verifyAddon(addon: string): Promise<Verified> {
  const child = fileURLToPath(new URL(`./verify-child${extname(import.meta.url)}`, import.meta.url));
  const env = { ...process.env, RASS_NATIVE_ADDON: addon, NODE_NO_WARNINGS: '1', NODE_OPTIONS: '' };
  const { status, output } = await runCommand(process.execPath, [child], env);
  const line = output.split('\n').find((text) => text.startsWith('{"version"'));
  if (status !== 0 || line === undefined) {
    const reason = output.split('\n').find((text) => /error/i.test(text)) ?? `it ended with status ${status}`;
    throw new BackendError(
      'load-failed',
      `backend install: the built addon must load and run; ${addon} does not: ${reason.trim()}; ` +
        'run `rass backend install --force`, or see the system requirements in the README',
    );
  }
  const result = JSON.parse(line) as Verified & { values: number[] };
  if (result.values.some((value, i) => value !== EXPECTED[i]) || result.values.length !== EXPECTED.length) {
    throw new BackendError(
      'install-failed',
      `backend install: the built addon must compute ${EXPECTED.join(' ')}; got ${result.values.join(' ')}; choose another version`,
    );
  }
  return { version: result.version, device: result.device };
}
