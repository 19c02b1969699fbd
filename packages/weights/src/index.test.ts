import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const source = (file: URL) => readFileSync(file, 'utf8');

/** Every file that an entry reaches, and every package that those import. Types are not there at run time. */
function reach(entry: URL): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: URL): void => {
    if (files.has(file.href)) return;
    files.add(file.href);
    const text = source(file);
    // What is loaded later, too.
    for (const [, from] of text.matchAll(/\bimport\('([^']+)'\)/g)) {
      if (from.startsWith('.')) visit(new URL(from, file));
      else packages.add(from);
    }
    for (const [, types, , from] of text.matchAll(/(?:import|export)( type)? ([^;]*?)from '([^']+)'/g)) {
      if (types !== undefined) continue;
      if (from.startsWith('.')) visit(new URL(from, file));
      else packages.add(from);
    }
  };
  visit(entry);
  return { files, packages };
}

it('needs nothing of Node: browsers load it as it is', () => {
  const { files, packages } = reach(new URL('./index.ts', import.meta.url));
  expect(files.size).toBeGreaterThan(30);
  expect([...packages].sort()).toEqual(['@rass/kernels', '@rass/nn', '@tensorflow/tfjs-core']);
  for (const file of files) {
    const code = source(new URL(file)).replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '');
    expect(code, file).not.toMatch(/\bimport\((?!'\.)|\brequire\(|\bprocess\.|\bBuffer\b/);
  }
});

it('keeps what needs Node in an entry of its own', () => {
  const { packages } = reach(new URL('./node.ts', import.meta.url));
  expect([...packages]).toEqual(expect.arrayContaining(['node:fs/promises', 'node:path']));
});
