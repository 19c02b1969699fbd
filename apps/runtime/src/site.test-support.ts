import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { buildStandalone } from '../pack/build.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Writes files, by their paths below a folder. */
export async function writeFiles(folder: string, files: ReadonlyMap<string, Blob>): Promise<void> {
  for (const [path, blob] of files) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, new Uint8Array(await blob.arrayBuffer()));
  }
}

/** Builds the page with a model's files, as a static site in a folder. */
export async function buildSite(folder: string, model: ReadonlyMap<string, Blob>): Promise<string> {
  const [own, site] = [join(folder, 'model'), join(folder, 'site')];
  await writeFiles(own, model);
  process.env['RASS_PAGE_MODEL'] = own;
  await build({ configFile: at('../page/vite.config.ts'), logLevel: 'error', build: { outDir: site } });
  return site;
}

/** Builds the runtime as pages without a bundler take it: into `runtime/` of a folder, beside a page that is empty. */
export async function buildRuntime(folder: string): Promise<void> {
  await buildStandalone(join(folder, 'runtime'));
  writeFileSync(join(folder, 'index.html'), '<!doctype html><meta charset="utf-8"><title>runtime</title>');
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html',
  js: 'text/javascript',
  css: 'text/css',
  wasm: 'application/wasm',
  png: 'image/png',
};

/** What a server did. */
export interface Site {
  readonly url: string;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** The parts of files that were asked for, and whether they were sent whole. */
  readonly parts: { readonly path: string; readonly start: number; readonly end: number; readonly whole: boolean }[];
  /** Breaks the connection in the middle of an answer where it says so. */
  breaks: (path: string) => boolean;
  /** What is sent in place of a file. */
  readonly changed: Map<string, Uint8Array>;
  /** Milliseconds until an answer. */
  delay: number;
  close(): void;
}

/** Serves a folder over loopback, ranges too, as a host of static sites does. `headers`: of all answers. */
export async function serveSite(folder: string, headersOfAll: Readonly<Record<string, string>> = {}): Promise<Site> {
  const server = createServer(async ({ url, headers }, response) => {
    const path = new URL(url ?? '/', 'http://localhost').pathname;
    site.asked.push(path);
    const whole = !site.breaks(path);
    await new Promise((resolve) => setTimeout(resolve, site.delay));
    const file = join(folder, path.endsWith('/') ? `${path}index.html` : path);
    if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true)
      return response.writeHead(404, headersOfAll).end();
    const bytes = site.changed.get(path) ?? readFileSync(file);
    const type = { 'content-type': TYPES[file.split('.').at(-1)!] ?? 'application/octet-stream' };
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
    const [start, end] = range === null ? [0, bytes.length] : [Number(range[1]), Math.min(Number(range[2]) + 1, bytes.length)]; // biome-ignore format: one line
    const partial = range && { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` };
    if (range !== null) site.parts.push({ path, start, end, whole });
    response.writeHead(range === null ? 200 : 206, {
      ...headersOfAll,
      ...type,
      ...partial,
      'content-length': end - start,
    });
    if (whole) return response.end(bytes.subarray(start, end));
    return response.write(bytes.subarray(start, (start + end) >> 1), () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const site: Site = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked: [],
    parts: [],
    breaks: () => false,
    changed: new Map(),
    delay: 0,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return site;
}
