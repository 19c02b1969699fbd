// Brings what the project runs on, so that a machine with only Node 20 or newer and npm can do everything:
// a Node of the supported range, pnpm, the workspace's packages. All of it goes to .tools/ and node_modules/.
// Plain JavaScript without dependencies: this file runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tools = join(root, '.tools');
const bin = join(tools, 'node_modules', '.bin');

/** The Node that the project brings where the machine's is older than 22.18, the first that runs TypeScript unflagged. */
const NODE_VERSION = '24.21.0';

const packageJson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const PNPM_VERSION = packageJson.packageManager.split('@').pop();

function nodeIsNewEnough(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  return major > 23 || (major === 22 && minor >= 18);
}

function npmInstall(spec) {
  mkdirSync(tools, { recursive: true });
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const args = ['install', '--prefix', tools, '--save', '--no-audit', '--no-fund', '--loglevel=error', spec];
  const result = spawnSync(npm, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8', cwd: tools });
  if (result.status !== 0)
    throw new Error(`setup: npm could not install ${spec}; it said:\n${result.stdout}${result.stderr}`);
}

function installedVersion(name) {
  const file = join(tools, 'node_modules', name, 'package.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : undefined;
}

/** The path of a Node executable of the supported range; installs one under .tools/ where needed. */
export function ensureNode() {
  if (nodeIsNewEnough()) return process.execPath;
  if (installedVersion('node') !== NODE_VERSION) {
    console.log(`setup: Node ${process.versions.node} is older than 22.18; bringing Node ${NODE_VERSION} into .tools/`);
    npmInstall(`node@${NODE_VERSION}`);
  }
  return join(tools, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

/** The environment in which the project's commands run: its Node and its binaries come first on PATH. */
export function toolEnvironment(node) {
  const path = [dirname(node), join(root, 'node_modules', '.bin'), bin, process.env.PATH].join(delimiter);
  return { ...process.env, PATH: path, RASS_ROOT: root, npm_config_verify_deps_before_run: 'false' };
}

function ensurePnpm() {
  if (installedVersion('pnpm') !== PNPM_VERSION) npmInstall(`pnpm@${PNPM_VERSION}`);
  return join(bin, process.platform === 'win32' ? 'pnpm.cmd' : 'pnpm');
}

/** Installs the workspace's packages unless the lockfile is the one that they were installed from. */
export function ensurePackages(node) {
  const lock = join(root, 'pnpm-lock.yaml');
  const stamp = join(root, 'node_modules', '.rass-installed');
  const hash = createHash('sha256').update(readFileSync(lock)).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  console.log('setup: installing packages');
  const result = spawnSync(ensurePnpm(), ['install', '--frozen-lockfile', '--reporter=append-only'], {
    cwd: root,
    env: { ...toolEnvironment(node), CI: 'true' },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`setup: pnpm install failed:\n${result.stdout}${result.stderr}`);
  writeFileSync(stamp, hash);
}
