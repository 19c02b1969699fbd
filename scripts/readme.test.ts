import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { installedBy, programsOf } from './readme-programs.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly keywords?: readonly string[];
  readonly homepage?: string;
  readonly bugs?: { readonly url: string };
  readonly repository?: { readonly url: string; readonly directory: string };
}

const packages = ['packages', 'apps'].flatMap((parent) =>
  readdirSync(join(root, parent)).flatMap((entry) => {
    const folder = join(root, parent, entry);
    if (!existsSync(join(folder, 'package.json'))) return [];
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
    const at = `${parent}/${entry}`;
    return manifest.private ? [] : [{ name: manifest.name, at, folder, manifest }];
  }),
);

const readmeOf = (folder: string): string => readFileSync(join(folder, 'README.md'), 'utf8');

const running = packages.flatMap(({ name, folder }) =>
  programsOf(readmeOf(folder))
    .filter(({ runs }) => runs)
    .map(({ code, printed }, i) => ({ name, folder, number: i + 1, code, printed })),
);

// A program stands in the package's own folder while it runs, so it imports what the package's users can.
it.each(running)("program $number of $name's README runs as printed", ({ folder, number, code, printed }) => {
  const file = join(folder, `readme-program-${number}.ts`);
  writeFileSync(file, code);
  try {
    const run = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
      encoding: 'utf8',
      cwd: folder,
      timeout: 100_000,
    });
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout.trim(), 'what it prints').not.toBe('');
    if (printed !== undefined) expect(run.stdout.trim()).toBe(printed.trim());
  } finally {
    rmSync(file, { force: true });
  }
});

/** The package that an import names; undefined for Node's own. */
const packageOf = (specifier: string): string | undefined =>
  specifier.startsWith('node:') ? undefined : /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0];

it.each(packages)(
  'the README of $name says how it is installed, with all that its programs import',
  ({ name, folder }) => {
    const readme = readmeOf(folder);
    const installed = installedBy(readme);
    expect(installed).toContain(name);
    const imported = programsOf(readme).flatMap(({ code }) =>
      [...code.matchAll(/(?:from|^import) '([^']+)'/gm)].map(([, specifier]) => packageOf(specifier)),
    );
    expect(imported.filter((each) => each !== undefined && !installed.includes(each))).toEqual([]);
  },
);

it.each(packages)(
  '$name says where its source, its page and its bugs are, and what it is about',
  ({ at, manifest }) => {
    const repository = 'https://github.com/rass-ts/rass';
    expect(manifest.repository).toEqual({ type: 'git', url: `git+${repository}.git`, directory: at });
    expect(manifest.homepage).toBe(`${repository}/tree/main/${at}#readme`);
    expect(manifest.bugs).toEqual({ url: `${repository}/issues` });
    expect(manifest.keywords?.length).toBeGreaterThan(3);
  },
);
