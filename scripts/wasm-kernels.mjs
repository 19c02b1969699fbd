// Compiles packages/*/wasm/*.ts with AssemblyScript and keeps each module, a few kilobytes, as text in its package's sources:
//   node scripts/wasm-kernels.mjs
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import asc from 'assemblyscript/asc';
import { root } from './toolchain.mjs';

/** Where each package keeps its compiled modules. */
const PACKAGES = { kernels: 'host-kernels', degradation: 'blur' };
// The memory is the caller's: nothing may be allocated, and there is no data of the module's own.
const OPTIONS = ['-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--enable', 'simd'];

async function compile(folder, file, out) {
  const name = basename(file, '.ts');
  const binary = join(out, `${name}.wasm`);
  const { error, stderr } = await asc.main([file, '-o', binary, ...OPTIONS, '--baseDir', folder]);
  if (error) throw new Error(`wasm-kernels: ${file}: ${stderr}`);
  return readFileSync(binary).toString('base64');
}

/** The file in the sources and what is in it, for each module. */
export async function compileAll() {
  const out = mkdtempSync(join(tmpdir(), 'rass-wasm-'));
  try {
    const modules = [];
    for (const [name, target] of Object.entries(PACKAGES)) {
      const folder = join(root, 'packages', name, 'wasm');
      for (const file of readdirSync(folder).filter((each) => each.endsWith('.ts'))) {
        const text = await compile(folder, file, out);
        const lines = text.match(/.{1,110}/g).map((line) => `  '${line}',`);
        const source = `// Made by scripts/wasm-kernels.mjs of packages/${name}/wasm/${file}.\n\n/** The compiled module, base64. */\nexport const MODULE: string = [\n${lines.join('\n')}\n].join('');\n`;
        modules.push({ path: join(root, 'packages', name, 'src', target, file.replace('.ts', '-module.ts')), source });
      }
    }
    return modules;
  } finally {
    rmSync(out, { recursive: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const { path, source } of await compileAll()) writeFileSync(path, source);
}
