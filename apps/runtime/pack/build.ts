// Bundles what is packed, each side with all that it needs, so that a product's own tools find no package behind it: the entries with their
// types into dist/, and into dist/standalone/ what pages without a bundler take, with the worker of both and TensorFlow.js's .wasm files.
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Plugin, rolldown } from 'rolldown';
import { wasmFiles } from '../wasm-files.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const OWN_WASM = at('../src/standalone/worker/own-wasm.ts');

const NODE_ENTRY = at('../../../packages/kernels/src/backends/node-entry.ts');

/** What is otherwise in a package than in the source: addresses that bundlers find, and copy the files of; and nothing of Node, whose modules a
 * product's bundler would look for. */
const packed: Plugin = {
  name: 'rass-packed',
  load(id) {
    if (id === NODE_ENTRY) return `export const nodeEntry = () => Promise.reject(new Error('this is a browser'));`;
    if (id !== OWN_WASM) return null;
    const names = [...wasmFiles().keys()].map((path) => basename(path));
    const lines = names.map((name) => `'${name}': new URL('../wasm/${name}', import.meta.url).href`);
    return `export const ownWasm = { ${lines.join(', ')} };`;
  },
};

interface Bundling {
  readonly input: Readonly<Record<string, string>>;
  readonly dir: string;
  readonly external?: readonly string[];
}

async function bundle({ input, dir, external = [] }: Bundling): Promise<void> {
  const bundled = await rolldown({
    input: Object.fromEntries(Object.entries(input).map(([name, path]) => [name, at(path)])),
    external: [...external],
    platform: 'browser',
    plugins: [packed],
    // Of Node's modules; webpack takes them for its own there.
    transform: { target: 'es2022', define: { __filename: 'undefined', __dirname: 'undefined' } },
    onLog(level, log) {
      if (level === 'warn') throw new Error(`pack: ${log.message}`);
    },
  });
  await bundled.write({
    dir,
    format: 'es',
    minify: true,
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
  });
  await bundled.close();
}

/** What pages without a bundler take, in a folder. */
export async function buildStandalone(folder: string): Promise<void> {
  await bundle({ input: { 'rass-runtime': '../src/standalone/index.ts' }, dir: folder });
  // What parts have in common is in a file beside the worker's own: a development server gives that one another address, under which it would
  // be loaded once more.
  const worker = { worker: '../src/standalone/worker/worker.ts', serve: '../src/worker/serve.ts' };
  await bundle({ input: worker, dir: join(folder, 'worker') });
  for (const [path, bytes] of wasmFiles()) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
}

/** All that is packed but for the types. */
export async function buildPackage(folder: string): Promise<void> {
  const input = { index: '../src/index.ts', react: '../src/react.ts', vue: '../src/vue.ts' };
  await bundle({ input, dir: folder, external: ['react', 'vue'] });
  await buildStandalone(join(folder, 'standalone'));
}
