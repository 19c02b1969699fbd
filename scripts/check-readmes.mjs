// The programs of the READMEs, from the packed tarballs, as their readers have them: each README gets a folder in which nothing is installed
// but what its install line brings. Every program is type-checked there under --strict; those that run are run, on the supported versions of Node,
// and beside `@tensorflow/tfjs`, and print what the README says.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { installedBy, programsOf } from './readme-programs.mjs';

/** Node's own releases as npm packages, by the name that they are installed under. */
const NODES = { 'node-22': '22.23.5', 'node-24': '24.21.0' };
const nodePackage = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;

/** What a reader of TypeScript has besides. */
const COMPILER = ['typescript', '@types/node', '@types/react'];
/** What some packages work with and none brings. */
const BESIDE = ['@tensorflow/tfjs', 'vue'];
const STRICT =
  '--noEmit --strict --skipLibCheck --target es2023 --module nodenext --jsx react-jsx --preserveSymlinks --types node';

/** What is installed once for all READMEs, besides the tarballs: `name` stands for the version of the workspace's catalog. */
export function outsidePackages(packages) {
  const named = packages.flatMap(({ folder }) => installedBy(readFileSync(join(folder, 'README.md'), 'utf8')));
  const names = new Set([...named, ...COMPILER, ...BESIDE]);
  const nodes = Object.entries(NODES).map(([alias, version]) => `${alias}@npm:${nodePackage}@${version}`);
  return { names: [...names].filter((name) => !name.startsWith('@rass/')), aliases: nodes };
}

const tscOf = (project) => join(project, 'node_modules', 'typescript', 'bin', 'tsc');

const manifestOf = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));

/** The folders at the top of node_modules that a package brings with it: dependencies and what it wants beside it, of those too. */
function broughtBy(project, name, found = new Set(), from = project) {
  const inside = join(from, 'node_modules', name);
  const folder = existsSync(inside) ? inside : join(project, 'node_modules', name);
  if (!existsSync(folder) || found.has(folder)) return found;
  found.add(folder);
  const {
    dependencies = {},
    optionalDependencies = {},
    peerDependencies = {},
    peerDependenciesMeta = {},
  } = manifestOf(folder);
  const peers = Object.keys(peerDependencies).filter((peer) => !peerDependenciesMeta[peer]?.optional);
  for (const each of [...Object.keys({ ...dependencies, ...optionalDependencies }), ...peers])
    broughtBy(project, each, found, folder);
  return found;
}

/** A folder for one README, with its programs and links to what its install line brings. */
function makeView({ folder, manifest }, project) {
  const readme = readFileSync(join(folder, 'README.md'), 'utf8');
  const installed = installedBy(readme);
  const view = join(project, 'readmes', manifest.name.replace('/', '-'));
  const top = join(project, 'node_modules');
  const brought = [...installed, ...COMPILER].flatMap((name) => [...broughtBy(project, name)]);
  for (const each of new Set(brought)) {
    const name = each.slice(top.length + 1);
    if (name.includes('node_modules')) continue; // It lies in a folder that is linked.
    mkdirSync(dirname(join(view, 'node_modules', name)), { recursive: true });
    symlinkSync(each, join(view, 'node_modules', name), 'junction');
  }
  mkdirSync(view, { recursive: true });
  writeFileSync(join(view, 'package.json'), '{ "private": true, "type": "module" }');
  const programs = programsOf(readme).map((program, i) => ({
    ...program,
    file: `program-${i + 1}.${program.extension}`,
  }));
  for (const { file, code } of programs) writeFileSync(join(view, file), code);
  return { name: manifest.name, view, installed, programs };
}

function start(command, args, cwd) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, NO_COLOR: '1' } });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (text) => (stdout += text));
    child.stderr.on('data', (text) => (stderr += text));
    child.on('error', (error) => resolve({ ok: false, stdout, stderr: error.message }));
    child.on('close', (status) => resolve({ ok: status === 0, stdout, stderr }));
  });
}

/** TensorFlow.js says to who loads all of it in Node that there is a faster package. */
const ADVICE = /^=+\nHi, looks like you are running TensorFlow\.js in Node\.js[\s\S]*?=+\n/m;

/** Runs a program in one way and compares what it prints. */
async function runProgram({ file, way, folder, node, printed, flags = [] }) {
  const { ok, stdout, stderr } = await start(node, ['--disable-warning=ExperimentalWarning', ...flags, file], folder);
  const said = stdout.replace(ADVICE, '').trim();
  if (!ok) return [`${file}, ${way}: ${said}\n${stderr}`];
  if (said === '') return [`${file}, ${way}: it prints nothing`];
  return printed === undefined || said === printed.trim()
    ? []
    : [`${file}, ${way}: it prints\n${said}\nand the README says\n${printed}`];
}

/** The ways in which a program is run. */
function runsOf({ code, printed, file }, { name, view }, project) {
  const nodeOf = (alias) =>
    join(project, 'node_modules', alias, ...(process.platform === 'win32' ? ['node.exe'] : ['bin', 'node']));
  const flags = ['--preserve-symlinks', '--preserve-symlinks-main'];
  const beside = (what, text) => {
    const written = `${name.replace('/', '-')}-${what}-${file}`;
    writeFileSync(join(project, written), text);
    return { file: written, folder: project, printed };
  };
  return [
    {
      way: `${name}, Node 24, with what its install line brings`,
      file,
      folder: view,
      node: nodeOf('node-24'),
      printed,
      flags,
    },
    { way: 'Node 22', node: nodeOf('node-22'), ...beside('22', code) },
    { way: 'with @tensorflow/tfjs', node: nodeOf('node-24'), ...beside('tfjs', `import '@tensorflow/tfjs';\n${code}`) },
  ].map((run) => () => runProgram(run));
}

/** The work on a README: its install line, its types, its runs. */
function tasksOf(readme, project) {
  const { name, view, installed, programs } = readme;
  if (!installed.includes(name))
    return [async () => [`${name}: its README has no line "npm install ${name}" in a block of its own`]];
  if (programs.length === 0) return [];
  const types = async () => {
    const files = programs.map(({ file }) => file);
    const { ok, stdout, stderr } = await start(
      process.execPath,
      [tscOf(project), ...STRICT.split(' '), ...files],
      view,
    );
    return ok ? [] : [`${name}, the types of its README's programs:\n${stdout}${stderr}`];
  };
  const running = programs.filter((program) => program.runs);
  return [types, ...running.flatMap((program) => runsOf(program, readme, project))];
}

/** The packages' own declarations, all of them at once, without skipLibCheck: TensorFlow.js's are wrong beside today's TypeScript, ours are not. */
async function checkDeclarations(packages, project) {
  const entries = packages.flatMap(({ manifest: { name, publishConfig } }) =>
    Object.entries(publishConfig?.exports ?? {}).flatMap(([path, target]) =>
      target.types ? [`${name}${path.slice(1)}`] : [],
    ),
  );
  writeFileSync(
    join(project, 'entries.ts'),
    entries.map((entry, i) => `export * as e${i} from '${entry}';\n`).join(''),
  );
  const options = STRICT.split(' ').filter((option) => option !== '--skipLibCheck');
  const { stdout } = await start(process.execPath, [tscOf(project), ...options, 'entries.ts'], project);
  const ours = stdout.split('\n').filter((line) => /^(entries\.ts|node_modules\/@rass\/)/.test(line));
  return ours.length === 0 ? [] : [`declarations:\n${ours.join('\n')}`];
}

/** @returns what went wrong */
export async function checkReadmes(packages, project) {
  const problems = [];
  const cores = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')).packages;
  const copies = Object.keys(cores).filter((path) => path.endsWith('node_modules/@tensorflow/tfjs-core'));
  if (copies.length !== 1) problems.push(`one copy of @tensorflow/tfjs-core is installed; got ${copies.join(', ')}`);
  const tasks = [
    () => checkDeclarations(packages, project),
    ...packages.flatMap((each) => tasksOf(makeView(each, project), project)),
  ];
  const worker = async () => {
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) problems.push(...(await task()));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return problems;
}
