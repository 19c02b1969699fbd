import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { wasmFiles } from '../wasm-files.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const wasm: Plugin = {
  name: 'rass-wasm',
  generateBundle() {
    for (const [fileName, source] of wasmFiles()) this.emitFile({ type: 'asset', fileName, source });
  },
};

/** The runtime with TensorFlow.js in it, for pages without a bundler. */
export default defineConfig({
  root: at('.'),
  base: './',
  build: {
    outDir: at('../dist/standalone'),
    emptyOutDir: true,
    target: 'es2022',
    lib: { entry: at('index.ts'), formats: ['es'], fileName: 'rass-runtime' },
  },
  worker: { format: 'es' },
  plugins: [wasm],
});
