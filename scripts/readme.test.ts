import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

interface PublicPackage {
  readonly name: string;
  readonly folder: string;
}

function publicPackages(): PublicPackage[] {
  return readdirSync(join(root, 'packages')).flatMap((entry) => {
    const folder = join(root, 'packages', entry);
    const manifest = join(folder, 'package.json');
    if (!existsSync(manifest)) return [];
    const { name, private: isPrivate } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      name: string;
      private?: boolean;
    };
    return isPrivate ? [] : [{ name, folder }];
  });
}

/** The first fenced block of a language, and the `text` block right after it, which is what the program prints. */
function firstProgram(readme: string): { code: string; printed?: string } | undefined {
  const match = /```ts\n([\s\S]*?)```(?:\s*```text\n([\s\S]*?)```)?/.exec(readme);
  return match === null ? undefined : { code: match[1], printed: match[2] };
}

// The program stands in the package's own folder while it runs, so it imports what the package's users can.
it.each(publicPackages())("the program of $name's README runs as printed", ({ folder }) => {
  const program = firstProgram(readFileSync(join(folder, 'README.md'), 'utf8'));
  expect(program, 'a ```ts block').toBeDefined();
  const file = join(folder, 'readme-program.ts');
  writeFileSync(file, program?.code ?? '');
  try {
    const run = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
      encoding: 'utf8',
      cwd: folder,
      timeout: 100_000,
    });
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout.trim(), 'what it prints').not.toBe('');
    if (program?.printed !== undefined) expect(run.stdout.trim()).toBe(program.printed.trim());
  } finally {
    rmSync(file, { force: true });
  }
});
