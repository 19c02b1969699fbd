// Packs every public package as it would be published and asks publint and are-the-types-wrong about the tarball.
// The build comes first, since a published package resolves to dist/. Then installs all tarballs in an empty project, as a
// user would, and checks the programs of each README there (check-readmes.mjs).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUNDLERS, checkEmbeds } from './check-embeds.mjs';
import { checkReadmes, outsidePackages } from './check-readmes.mjs';
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

/** Installs the tarballs with npm, in a folder that was empty, beside what the READMEs and the embeds name; returns what went wrong. */
function install(packages, out, project) {
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  const tarballs = readdirSync(out).filter((file) => file.endsWith('.tgz'));
  const versions = readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8');
  const { names, aliases } = outsidePackages(packages);
  const others = [...new Set([...names, 'react', 'react-dom', ...BUNDLERS.shared])].map((name) => {
    const version = new RegExp(`^ +['"]?${name}['"]?: (\\S+)`, 'm').exec(versions)?.[1];
    if (version === undefined)
      throw new Error(`${name}: a README installs it, and the catalog of pnpm-workspace.yaml has no version of it`);
    return `${name}@${version}`;
  });
  const specs = [...tarballs.map((file) => join(out, file)), ...others, ...aliases, ...BUNDLERS.own];
  const installed = run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...specs], project);
  return installed.ok ? [] : [`npm install: ${installed.output}`];
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
const project = join(out, 'project');
const installed = install(publicPackages(), out, project);
if (installed.length === 0) installed.push(...(await checkReadmes(publicPackages(), project)));
console.log(
  installed.length === 0
    ? 'installed from the tarballs, the programs of the READMEs have their types and run on Node 22 and 24'
    : installed.join('\n'),
);
const embedded = await checkEmbeds(project, run);
if (embedded.length > 0) console.log(embedded.join('\n'));
failed += installed.length + embedded.length;
rmSync(out, { recursive: true });
process.exitCode = failed === 0 ? 0 : 1;
