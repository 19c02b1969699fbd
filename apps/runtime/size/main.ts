// What a product that embeds the runtime loads, in kB: `pnpm size`. Fails when what is loaded before anything is asked for is no longer small.
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { wasmFiles } from '../wasm-files.ts';
import { type Bundle, bundleBackend, bundleRuntime, minus, plus, type Size } from './bundle.ts';

/** Of what is loaded at first without TensorFlow.js, gzipped. */
const LIMIT = 60_000;

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** What a model is opened for. */
const TASKS = {
  restores: 'packages/pipeline/src/tasks/restore.ts',
  segments: 'packages/pipeline/src/tasks/segment.ts',
};

/** What is loaded only when it is asked for, by what asks for it. */
const ASKED: Readonly<Record<string, readonly string[]>> = {
  'a WebGPU device': [
    'packages/kernels/src/backends/webgpu/packed/packing-backend.ts',
    'packages/kernels/src/backends/webgpu/kernel-names.ts',
    'packages/kernels/src/backends/webgpu/programs/install.ts',
  ],
  'the wasm backend, around its own files': [
    'packages/kernels/src/backends/wasm-module.ts',
    'packages/kernels/src/backends/wasm-threads.ts',
  ],
  'what photographs are read with, as a model is opened': [
    'apps/runtime/src/worker/pixels.ts',
    'packages/pipeline/src/images/check-image.ts',
  ],
  'a model that is kept for the next visit': ['apps/runtime/src/worker/kept.ts'],
  'the first tag': ['packages/pipeline/src/tags/tag-prompt.ts', 'packages/text-encoder/src/presets.ts'],
  'the first prompt, of a model with a tokenizer of its own': ['packages/text-encoder/src/tokenizer.ts'],
  'attention to tags': ['packages/pipeline/src/tasks/attend.ts'],
  'a colour fix': ['packages/pipeline/src/tasks/colour-fix.ts'],
  'a photograph above a megapixel': ['packages/vae/src/bands/exact.ts'],
  'weights that stay as they are stored': ['packages/weights/src/load/packed.ts'],
  'quantized weights': ['packages/weights/src/quantized/view.ts'],
  'weights in several files': ['packages/weights/src/sharded.ts'],
  'weights with names of older versions of diffusers': ['packages/weights/src/stable-diffusion/old-names.ts'],
  'pickled weights': ['packages/weights/src/torch/open.ts'],
};

/** What a bundler cannot know to be without use here: blended tiles and gradients are never asked for. */
const NEVER: readonly string[] = [
  'packages/vae/src/tiles.ts',
  'packages/kernels/src/gradients/install.ts',
  'packages/kernels/src/repaired-kernels/all.ts',
];

const BACKENDS = ['webgpu', 'wasm', 'cpu'].map((name) => `@tensorflow/tfjs-backend-${name}`);

const kilobytes = (bytes: number): string => (bytes / 1000).toFixed(1);

const row = (what: string, { minified, gzipped }: Size): string =>
  `| ${what} | ${kilobytes(minified)} | ${kilobytes(gzipped)} |`;

/** Rows of what the worker loads later, each beside what a model of both tasks has loaded.
 * @throws when a module that is named above is not loaded by import() */
function laterRows(worker: Bundle): string[] {
  const modules = new Map(worker.lazy.map((module) => [relative(ROOT, module).replaceAll('\\', '/'), module]));
  const modulesOf = (paths: readonly string[]) => paths.map((path) => modules.get(path)!);
  const later = (paths: readonly string[], others: readonly string[] = []): Size =>
    worker.later(modulesOf(paths), modulesOf(others));
  const tasks = Object.values(TASKS);
  const known = [...tasks, ...Object.values(ASKED).flat(), ...NEVER];
  const lost = known.find((path) => !modules.has(path));
  if (lost !== undefined) {
    throw new Error(`size: what is named here is loaded by import(); got ${lost}, which is not; correct size/main.ts`);
  }
  const others = [...modules.keys()].filter((path) => !known.includes(path));
  return [
    ...Object.entries(TASKS).map(([name, path]) => row(`with a model that ${name}`, later([path]))),
    row('with a model that does both', later(tasks)),
    ...Object.entries(ASKED).map(([name, paths]) => row(`with ${name}`, later(paths, tasks))),
    ...others.map((path) => row(`with \`${path}\``, later([path], tasks))),
  ];
}

async function main(): Promise<number> {
  const own = await bundleRuntime({ tensorflow: false });
  const all = await bundleRuntime({ tensorflow: true });
  const first = plus(own.page.first, own.worker.first);
  const firstOfAll = plus(all.page.first, all.worker.first);
  const backends = await Promise.all(BACKENDS.map(async (name) => row(name, await bundleBackend(name))));
  const wasm = [...wasmFiles()].map(([path, bytes]) =>
    row(path.replace('wasm/', ''), { minified: bytes.length, gzipped: gzipSync(bytes).length }),
  );
  const lines = [
    '| loaded | minified, kB | gzipped, kB |',
    '| --- | ---: | ---: |',
    row('at first, into the page', own.page.first),
    row('at first, into the worker', own.worker.first),
    row('**at first, without TensorFlow.js**', first),
    ...laterRows(own.worker),
    row('@tensorflow/tfjs-core, at first', minus(firstOfAll, first)),
    ...backends,
    ...wasm,
    row('at first, with TensorFlow.js', firstOfAll),
  ];
  console.log(lines.join('\n'));
  if (first.gzipped < LIMIT) return 0;
  console.error(
    `size: what is loaded at first, without TensorFlow.js, is under ${LIMIT} bytes gzipped; got ${first.gzipped}; load by import() what not every call needs`,
  );
  return 1;
}

process.exitCode = await main();
