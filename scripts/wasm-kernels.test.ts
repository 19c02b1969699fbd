import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { compileAll } from './wasm-kernels.mjs';

it('the WebAssembly modules in the sources are what is compiled of packages/*/wasm', async () => {
  const modules = await compileAll();
  expect(modules.length).toBeGreaterThan(0);
  for (const { path, source } of modules) expect(readFileSync(path, 'utf8')).toBe(source);
});
