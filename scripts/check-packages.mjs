// Packs every public package as it would be published and asks publint and are-the-types-wrong about the tarball.
// The build comes first, since a published package resolves to dist/.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './toolchain.mjs';

function run(program, args, cwd) {
  const result = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (result.error) throw result.error;
  return { ok: result.status === 0, output: `${result.stdout}${result.stderr}` };
}

function publicPackages() {
  const folders = ['packages', 'apps'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => join(root, parent, name)),
  );
  return folders
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) }))
    .filter(({ manifest }) => !manifest.private);
}

function checkPackage({ folder, manifest }, out) {
  const packed = run('pnpm', ['pack', '--pack-destination', out], folder);
  if (!packed.ok) return [`pnpm pack: ${packed.output}`];
  const prefix = manifest.name.replace('@', '').replace('/', '-');
  const tarball = join(
    out,
    readdirSync(out).find((file) => file.startsWith(`${prefix}-${manifest.version}`)),
  );
  const problems = [];
  const lint = run('publint', ['run', tarball, '--strict'], root);
  if (!lint.ok) problems.push(`publint: ${lint.output}`);
  // An application has a command and nothing to import.
  if (manifest.publishConfig?.exports) {
    const types = run('attw', [tarball, '--profile', 'esm-only', '--no-emoji'], root);
    if (!types.ok) problems.push(`attw: ${types.output}`);
  }
  return problems;
}

const build = run('turbo', ['run', 'build', '--output-logs=errors-only'], root);
if (!build.ok) {
  console.error(build.output);
  process.exit(1);
}
const out = mkdtempSync(join(tmpdir(), 'rass-pack-'));
let failed = 0;
for (const each of publicPackages()) {
  const problems = checkPackage(each, out);
  console.log(`${each.manifest.name}: ${problems.length === 0 ? 'packs well' : `\n${problems.join('\n')}`}`);
  failed += problems.length;
}
rmSync(out, { recursive: true });
process.exitCode = failed === 0 ? 0 : 1;
