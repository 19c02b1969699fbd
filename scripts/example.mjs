// `pnpm example <number or name> [arguments]`: runs a program of examples/ with the project's own Node.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './toolchain.mjs';

const folder = join(root, 'examples');
const [wanted = '', ...args] = process.argv.slice(2);
const all = readdirSync(folder).filter((file) => /^\d\d-.*\.ts$/.test(file) && !file.endsWith('.test.ts'));
const file = all.find((name) => wanted !== '' && name.startsWith(wanted.padStart(2, '0')));
if (file === undefined) {
  console.error(
    `example: one of ${all.map((name) => name.replace('.ts', '')).join(', ')}; got "${wanted}"; name one by its number`,
  );
  process.exit(2);
}
process.exit(spawnSync(process.execPath, [join(folder, file), ...args], { stdio: 'inherit' }).status ?? 1);
