import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { pageAssets } from './assets.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The page as a static site, at any path; RASS_PAGE_MODEL names another model's folder than rass-tiny's. */
export default defineConfig({
  root: at('.'),
  base: './',
  build: { outDir: at('../site'), emptyOutDir: true, target: 'es2022' },
  worker: { format: 'es' },
  plugins: [pageAssets({ model: process.env['RASS_PAGE_MODEL'] ?? at('../../../models/rass-tiny') })],
});
